"""Mailboxes and messages as an administrator looks at them: by id, and by page. Whom they belong to is told with them.

A page of a mailbox is read by its primary key from the newest message down, and costs as much as it shows and passes
over. Text is looked for in a slice of at most SLICE messages, so that a page is answered in bounded time: one that
found little says where to go on. What is ordered otherwise than by UID is read from all messages of the account; the
``+ 0`` keeps servers from reading those of all accounts instead, by an index that has them in that order. Nothing is
joined to what is yet to be ordered: it would be looked up for every message, and be carried along.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from lightmail.model import FIXED_FLAGS, AccountId, Fate, MailboxId, MessageId, ObjectId
from lightmail.store import keywords as keyword_table
from lightmail.store.blobs import shown_fields
from lightmail.store.cursor import Cursor, Row, Statement
from lightmail.store.ranges import names_from
from lightmail.store.sqltext import FATES_WITH_OBJECT, padded, with_list

# Messages that one page looks for text in: of those that are there, and of those that are not. What was deleted at one
# time came at many: each text may be on a page of the database that nothing else has brought into memory.
SLICE: Final = 5000
SLICE_OF_GONE: Final = 2000
# A header block that takes more octets, offsets included, is not read for a list: its sender and subject are shown as
# searches have them, in lower case.
_HEADER_OCTETS: Final = 16_384
_SHOWN_OCTETS: Final = 2000

# Where a page of messages ends: when the last one was deleted (0: it is there), and its UID in a list of one mailbox,
# else its id.
Place = tuple[int, int]
_FIRST: Final[Place] = ((1 << 63) - 1, (1 << 63) - 1)
_EVER_US: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose mail it is. ``uuid`` names the account in objects and caches; ``domain`` is the id of its domain."""

    account: AccountId
    uuid: bytes
    address: str
    domain: int


@dataclass(frozen=True, slots=True)
class Box:
    """A mailbox and its owner; ``deleted_us`` 0: it is there."""

    id: MailboxId
    name: str
    deleted_us: int
    special_use: str | None
    owner: Owner


@dataclass(frozen=True, slots=True)
class Counted:
    """A mailbox in numbers: all that is listed of it. ``octets`` is what its live messages sum up to."""

    id: MailboxId
    name: str
    special_use: str | None
    uidvalidity: int
    uidnext: int
    highest_modseq: int
    messages: int
    unseen: int
    octets: int


@dataclass(frozen=True, slots=True)
class Listed:
    """A message in a list. ``flags`` are names, ``sender`` and ``subject`` its fields, decoded.

    ``mailbox_name`` is that of the mailbox that it is or was in. ``deleted_us`` 0: it is there. ``withheld``: it never
    was there, for a virus was found in it.
    """

    id: MessageId
    uid: int
    mailbox: MailboxId
    flags: tuple[str, ...]
    octets: int
    internaldate_us: int
    deleted_us: int
    object: ObjectId
    withheld: bool
    sender: str
    subject: str
    mailbox_name: str


@dataclass(frozen=True, slots=True)
class Whole:
    """A message by its id, with the mailbox that it is or was in, when it came there, and the trace in the log of what
    brought it, empty where that is not known."""

    message: Listed
    box: Box
    saved_us: int
    trace: str


@dataclass(frozen=True, slots=True)
class Details:
    """What else there is to say of a message: decoded fields, and the packed extents of its parts (`mime.parts`)."""

    to: str
    cc: str
    message_id: str
    parts: bytes


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages: those that meet every condition.

    `sender` and `subject` are parts of the decoded fields, compared without regard to case. INTERNALDATE is in
    [`since_us`, `until_us`). With `deleted`, those that can be restored, deleted in [`deleted_since_us`,
    `deleted_until_us`); with `withheld`, those that were withheld then for a virus; else those that are there.
    """

    sender: str = ""
    subject: str = ""
    since_us: int = -_EVER_US
    until_us: int = _EVER_US
    deleted: bool = False
    deleted_since_us: int = 1
    deleted_until_us: int = _EVER_US
    withheld: bool = False

    @property
    def gone(self) -> bool:
        """Whether those are wanted that are not there."""
        return self.deleted or self.withheld

    @property
    def by_text(self) -> bool:
        """Whether text is looked for."""
        return bool(self.sender or self.subject)

    @property
    def slice(self) -> int:
        """How many messages one page looks for text in."""
        return SLICE_OF_GONE if self.gone else SLICE

    @property
    def everything(self) -> bool:
        """Whether that is all that is there."""
        return self == Wanted()


@dataclass(frozen=True, slots=True)
class Found:
    """A page: its messages, and where the next one begins, None where nothing follows. `slice` is how many messages a
    page looks for text in."""

    messages: list[Listed]
    next: Place | None
    slice: int


# --- whose it is ---

_OWNER_COLUMNS: Final = "a.id, a.uuid, a.address, a.domain"
_OWNER: Final = f"SELECT {_OWNER_COLUMNS} FROM accounts a WHERE a.id = %s AND a.deleted_at = 0"  # noqa: S608
_BOX_COLUMNS: Final = f"b.id, b.name, b.deleted_at, b.special_use, {_OWNER_COLUMNS}"
_BOX: Final = (
    f"SELECT {_BOX_COLUMNS} FROM mailboxes b JOIN accounts a ON a.id = b.account AND a.deleted_at = 0 WHERE b.id = %s"  # noqa: S608
)


def _owner(row: Row) -> Owner:
    return Owner(AccountId(row[0]), row[1], row[2].decode(), row[3])


def _box(row: Row) -> Box:
    return Box(MailboxId(row[0]), row[1].decode(), row[2], None if row[3] is None else row[3].decode(), _owner(row[4:]))


def owner_txn(cursor: Cursor, account: AccountId) -> Owner | None:
    """The account of that id, unless it is deleted."""
    cursor.execute(_OWNER, (account,))
    row = cursor.fetchone()
    return _owner(row) if row else None


def box_txn(cursor: Cursor, mailbox: MailboxId) -> Box | None:
    """The mailbox of that id, deleted or not, of an account that is not."""
    cursor.execute(_BOX, (mailbox,))
    row = cursor.fetchone()
    return _box(row) if row else None


# --- mailboxes ---

_NAMES: Final = (
    "SELECT id, name, special_use, uidvalidity, uidnext, highest_modseq FROM mailboxes"
    " WHERE account = %s AND deleted_at = 0 AND name >= %s AND name < %s ORDER BY name LIMIT %s OFFSET %s"
)
_ONE: Final = "SELECT id, name, special_use, uidvalidity, uidnext, highest_modseq FROM mailboxes WHERE id = %s"
_COUNTS: Final = (
    "SELECT mailbox, COUNT(*), SUM(CASE WHEN (flags & 1) = 0 THEN 1 ELSE 0 END), SUM(octets) FROM messages"
    " WHERE mailbox IN ({list}) AND deleted_at + 0 = 0 GROUP BY mailbox"
)
_HOW_MANY: Final = "SELECT COUNT(*) FROM mailboxes WHERE account = %s AND deleted_at = 0"


def boxes_txn(cursor: Cursor, account: AccountId, after: str | None, limit: int, offset: int) -> list[Counted]:
    """The first `limit` mailboxes of an account by the octets of their names, after a name or an offset."""
    low, high = names_from(after=after)
    cursor.execute(_NAMES, (account, low, high, limit, offset))
    return _counted(cursor, cursor.fetchall())


def counted_txn(cursor: Cursor, mailbox: MailboxId) -> Counted | None:
    """One mailbox in numbers."""
    cursor.execute(_ONE, (mailbox,))
    return next(iter(_counted(cursor, cursor.fetchall())), None)


def boxes_count_txn(cursor: Cursor, account: AccountId) -> int:
    """How many mailboxes the account has."""
    cursor.execute(_HOW_MANY, (account,))
    row = cursor.fetchone()
    return int(row[0]) if row else 0


def _counted(cursor: Cursor, rows: Sequence[Row]) -> list[Counted]:
    if not rows:
        return []
    ids = padded([row[0] for row in rows])
    cursor.execute(with_list(_COUNTS, len(ids)), ids)
    counts = {row[0]: (int(row[1]), int(row[2]), int(row[3])) for row in cursor.fetchall()}
    return [
        Counted(
            MailboxId(row[0]),
            row[1].decode(),
            None if row[2] is None else row[2].decode(),
            *(*row[3:6], *counts.get(row[0], (0, 0, 0))),
        )
        for row in rows
    ]


# --- messages by page ---

_COLUMNS: Final = "m.id, m.uid, m.mailbox, m.flags, m.octets, m.internaldate_us, m.deleted_at, m.object, m.fate"
_DATED: Final = " AND m.internaldate_us >= %s AND m.internaldate_us < %s"
_OF_MAILBOX: Final = (
    f"SELECT {_COLUMNS} FROM messages m WHERE m.mailbox = %s AND m.deleted_at + 0 = 0 AND m.uid < %s{_DATED}"  # noqa: S608
    " ORDER BY m.uid DESC LIMIT %s OFFSET %s"
)
_OF_ACCOUNT: Final = (
    f"SELECT {_COLUMNS} FROM mailboxes b JOIN messages m ON m.mailbox = b.id"  # noqa: S608
    f" WHERE b.account = %s AND b.deleted_at = 0 AND m.deleted_at + 0 = 0 AND m.id + 0 < %s{_DATED}"
    " ORDER BY m.id + 0 DESC LIMIT %s OFFSET %s"
)
_DELETED: Final = (
    f"SELECT {_COLUMNS} FROM mailboxes b JOIN messages m ON m.mailbox = b.id"  # noqa: S608
    " WHERE b.account = %s AND (%s = 0 OR b.id = %s) AND m.fate = %s AND m.object IS NOT NULL"
    " AND m.deleted_at + 0 >= %s AND m.deleted_at + 0 < %s"
    f" AND (m.deleted_at + 0 < %s OR (m.deleted_at + 0 = %s AND m.id + 0 < %s)){_DATED}"
    " ORDER BY m.deleted_at + 0 DESC, m.id + 0 DESC LIMIT %s OFFSET %s"
)
# What a list is ordered by, of the columns of a slice.
_BY_UID: Final = "s.uid DESC"
_BY_ID: Final = "s.id DESC"
_BY_DELETION: Final = "s.deleted_at DESC, s.id DESC"
# Of a slice the messages that have the text, and in any case the one that ends it where it is full.
_TEXT: Final = (
    "SELECT s.id, s.uid, s.mailbox, s.flags, s.octets, s.internaldate_us, s.deleted_at, s.object, s.fate,"
    " s.place, r.object"
    " FROM (SELECT s.*, ROW_NUMBER() OVER (ORDER BY {order}) AS place FROM ({slice}) s) s"
    " LEFT JOIN renderings r ON r.object = s.object"
    " AND (%s = 0 OR INSTR(r.from_text, %s) > 0) AND (%s = 0 OR INSTR(r.subject, %s) > 0)"
    " WHERE r.object IS NOT NULL OR s.place = %s ORDER BY s.place LIMIT %s"
)
_LIVE: Final = "SELECT id FROM objects WHERE id IN ({list}) AND state = 1"
_TOTAL: Final = "SELECT COUNT(*) FROM messages WHERE mailbox = %s AND deleted_at + 0 = 0"


@dataclass(frozen=True, slots=True)
class _Listing:
    """A list as statements: its slices, LIMIT and OFFSET left open, and what they are ordered by."""

    sql: str
    params: tuple[Any, ...]
    order: str

    def page(self, limit: int, offset: int) -> Statement:
        return self.sql, (*self.params, limit, offset)

    def text(self, wanted: Wanted, limit: int) -> Statement:
        given: list[Any] = []
        for text in (wanted.sender, wanted.subject):
            given += [int(bool(text)), text.casefold().encode("utf-8", "replace")]
        sql = _TEXT.replace("{slice}", self.sql).replace("{order}", self.order)
        return sql, (*self.params, wanted.slice, 0, *given, wanted.slice, limit)

    def place(self, row: Row) -> Place:
        return row[6], row[1] if self.order == _BY_UID else row[0]


def _listing(account: AccountId, mailbox: MailboxId | None, wanted: Wanted, after: Place | None) -> _Listing:
    deleted_us, key = after or _FIRST
    dated = (wanted.since_us, wanted.until_us)
    if wanted.gone:
        between = (wanted.deleted_since_us, wanted.deleted_until_us)
        fate = Fate.WITHHELD if wanted.withheld else Fate.EXPUNGED
        which = (account, int(mailbox is not None), mailbox or 0, fate.value)
        return _Listing(_DELETED, (*which, *between, deleted_us, deleted_us, key, *dated), _BY_DELETION)
    if mailbox is None:
        return _Listing(_OF_ACCOUNT, (account, key, *dated), _BY_ID)
    return _Listing(_OF_MAILBOX, (mailbox, key, *dated), _BY_UID)


def messages_txn(
    cursor: Cursor,
    account: AccountId,
    mailbox: MailboxId | None,
    wanted: Wanted,
    after: Place | None,
    limit: int,
    offset: int = 0,
) -> Found:
    """A page of a mailbox's messages, or of all of an account: the newest first, those deleted last first.

    Where text is looked for there is no offset. There, and where messages are wanted that are gone, a page may have
    fewer messages than `limit`, or none, and yet a next one: what cannot be restored, its object given up, is left out.
    """
    listing = _listing(account, mailbox, wanted, after)
    cursor.execute(*(listing.text(wanted, limit + 1) if wanted.by_text else listing.page(limit + 1, offset)))
    rows = list(cursor.fetchall())
    shown = [row[:9] for row in rows[:limit] if not wanted.by_text or row[10] is not None]
    end = None
    if len(rows) > limit:
        end = listing.place(rows[limit - 1])
    elif wanted.by_text and rows and rows[-1][9] == wanted.slice:
        end = listing.place(rows[-1])
    return Found(_listed(cursor, _restorable(cursor, shown) if wanted.gone else shown), end, wanted.slice)


def _restorable(cursor: Cursor, rows: Sequence[Row]) -> Sequence[Row]:
    """Those of rows of _COLUMNS whose objects have not been given up."""
    if not rows:
        return rows
    objects = padded([row[7] for row in rows])
    cursor.execute(with_list(_LIVE, len(objects)), objects)
    live = {row[0] for row in cursor.fetchall()}
    return [row for row in rows if row[7] in live]


def total_txn(cursor: Cursor, mailbox: MailboxId) -> int:
    """How many messages the mailbox has."""
    cursor.execute(_TOTAL, (mailbox,))
    row = cursor.fetchone()
    return int(row[0]) if row else 0


_SHOWN: Final = (
    "SELECT object,"  # noqa: S608
    f" CASE WHEN LENGTH(header_zstd) + LENGTH(header_fields) <= {_HEADER_OCTETS} THEN header_zstd ELSE NULL END,"
    f" CASE WHEN LENGTH(header_zstd) + LENGTH(header_fields) <= {_HEADER_OCTETS} THEN header_fields ELSE NULL END,"
    f" SUBSTR(from_text, 1, {_SHOWN_OCTETS}), SUBSTR(subject, 1, {_SHOWN_OCTETS})"
    " FROM renderings WHERE object IN ({list})"
)
_TITLES: Final = "SELECT id, name FROM mailboxes WHERE id IN ({list})"
_NO_TEXTS: Final = ("", "")
_KEYWORDS: Final = "SELECT mailbox, flag_bit, name FROM keywords WHERE mailbox IN ({list})"


def _listed(cursor: Cursor, rows: Sequence[Row]) -> list[Listed]:
    """The messages of rows of _COLUMNS, with what is shown of them: one round trip."""
    if not rows:
        return []
    objects, boxes = padded([row[7] for row in rows]), padded(sorted({row[2] for row in rows}))
    texts, names, titles = cursor.script(
        [
            (with_list(_SHOWN, len(objects)), objects),
            (with_list(_KEYWORDS, len(boxes)), boxes),
            (with_list(_TITLES, len(boxes)), boxes),
        ]
    )
    called = {row[0]: row[1].decode() for row in titles.rows}
    shown = {row[0]: _sender_and_subject(row) for row in texts.rows}
    keywords: dict[int, keyword_table.Keywords] = {}
    for mailbox, bit, name in names.rows:
        keywords.setdefault(mailbox, []).append((bit, name))
    return [
        Listed(
            id=MessageId(id_),
            uid=uid,
            mailbox=MailboxId(mailbox),
            flags=flag_names(flags, keywords.get(mailbox, [])),
            octets=octets,
            internaldate_us=internaldate_us,
            deleted_us=deleted_us,
            object=ObjectId(object_),
            withheld=fate == Fate.WITHHELD.value,
            sender=shown.get(object_, _NO_TEXTS)[0],
            subject=shown.get(object_, _NO_TEXTS)[1],
            mailbox_name=called.get(mailbox, ""),
        )
        for id_, uid, mailbox, flags, octets, internaldate_us, deleted_us, object_, fate in rows
    ]


def _sender_and_subject(row: Row) -> tuple[str, str]:
    _, header_zstd, header_fields, sender, subject = row
    if header_zstd is None:
        return sender.decode("utf-8", "replace"), subject.decode("utf-8", "replace")
    texts = shown_fields(header_zstd, header_fields, (b"from", b"subject"))
    return texts[0], texts[1]


def flag_names(flags: int, keywords: keyword_table.Keywords) -> tuple[str, ...]:
    """The names of a message's flags, by bit; keywords have those of its mailbox."""
    fixed = [name.decode("ascii") for bit, name in enumerate(FIXED_FLAGS) if flags >> bit & 1]
    own = [name.decode("ascii", "replace") for bit, name in sorted(keywords) if name and flags >> bit & 1]
    return (*fixed, *own)


# --- one message ---

_MESSAGE: Final = (
    f"SELECT {_COLUMNS}, m.saved_us, m.trace, {_BOX_COLUMNS} FROM messages m JOIN mailboxes b ON b.id = m.mailbox"  # noqa: S608
    " JOIN accounts a ON a.id = m.account AND a.deleted_at = 0"
    f" WHERE m.id = %s AND m.object IS NOT NULL AND (m.deleted_at = 0 OR m.fate IN {FATES_WITH_OBJECT})"
    " AND (%s IS NULL OR a.domain = %s)"
)


_DOMAIN: Final = "SELECT a.domain FROM messages m JOIN accounts a ON a.id = m.account WHERE m.id = %s"


def domain_txn(cursor: Cursor, message: MessageId) -> int | None:
    """The id of the domain whose account has or had the message, None where no message has that id."""
    cursor.execute(_DOMAIN, (message,))
    row = cursor.fetchone()
    return row[0] if row else None


def message_txn(cursor: Cursor, message: MessageId, domain: int | None = None) -> Whole | None:
    """The message of that id, if it is there or can be restored; what moved or was restored has another id now.

    `domain`: only if it is of an account of that domain. What is not takes as long as what is nowhere.
    """
    cursor.execute(_MESSAGE, (message, domain, domain))
    row = cursor.fetchone()
    if row is None:
        return None
    (listed,) = _listed(cursor, [row[:9]])
    return Whole(listed, _box(row[11:]), row[9], (row[10] or b"").decode("ascii", "replace"))


def details_txn(cursor: Cursor, object_: ObjectId) -> Details:
    """What the rendering of a message's object says of it."""
    cursor.execute("SELECT header_zstd, header_fields, parts FROM renderings WHERE object = %s", (object_,))
    row = cursor.fetchone()
    if row is None:
        return Details("", "", "", b"")
    to, cc, message_id = shown_fields(row[0], row[1], (b"to", b"cc", b"message-id"))
    return Details(to, cc, message_id, row[2])


def at_txn(cursor: Cursor, mailbox: MailboxId, uid: int) -> MessageId | None:
    """The id of the message that is at a UID, or was deleted there and can be restored."""
    cursor.execute("SELECT id FROM messages WHERE mailbox = %s AND uid = %s AND object IS NOT NULL", (mailbox, uid))
    row = cursor.fetchone()
    return MessageId(row[0]) if row else None


def id_txn(cursor: Cursor, mailbox: MailboxId, uid: int) -> MessageId:
    """The id of the message that this transaction has just put there."""
    cursor.execute("SELECT id FROM messages WHERE mailbox = %s AND uid = %s", (mailbox, uid))
    row = cursor.fetchone()
    if row is None:
        raise LookupError("the message that was just inserted is not there")
    return MessageId(row[0])
