"""The words of the store as types: identifiers, rows, blobs and renderings.

Immutable values only; nothing here touches a database, a file or the network. Times are Unix microseconds UTC
(``_us``), sizes are octets, addresses are normalised text (lower-case domain, NFC).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, NewType

AccountId = NewType("AccountId", int)
MailboxId = NewType("MailboxId", int)
MessageId = NewType("MessageId", int)
ObjectId = NewType("ObjectId", int)

HIERARCHY_DELIMITER: Final = "/"
INBOX: Final = "INBOX"


def is_inbox(level: str) -> bool:
    """Whether the first level of a name spells INBOX, in any case of ASCII: a dotless i has the capital I, too."""
    return level.isascii() and level.upper() == INBOX


SEEN: Final = 1 << 0
ANSWERED: Final = 1 << 1
FLAGGED: Final = 1 << 2
DELETED: Final = 1 << 3
DRAFT: Final = 1 << 4

# Bit n of a message's flags is FIXED_FLAGS[n], in every mailbox and for ever. \Recent is no bit: sessions own it.
FIXED_FLAGS: Final[tuple[bytes, ...]] = (
    b"\\Seen",
    b"\\Answered",
    b"\\Flagged",
    b"\\Deleted",
    b"\\Draft",
    b"$Forwarded",
    b"$MDNSent",
    b"$Junk",
    b"$NotJunk",
    b"$Phishing",
    b"$Important",
    b"$SubmitPending",
    b"$Submitted",
    b"$MailFlagBit0",
    b"$MailFlagBit1",
    b"$MailFlagBit2",
)
SYSTEM_FLAGS: Final = FIXED_FLAGS[:5]
# Bits 16 to 62 are named per mailbox by rows of `keywords`; bit 63 is the sign of a BIGINT and stays clear.
FIRST_KEYWORD_BIT: Final = 16
LAST_KEYWORD_BIT: Final = 62


class Fate(Enum):
    """Why a message row is deleted. EXPUNGED ones keep their object and can be restored. So can WITHHELD ones, which
    came with a virus and never were in their mailbox, but by administrators only."""

    EXPUNGED = 1
    MOVED = 2
    RESTORED = 3
    WITHHELD = 4

    @property
    def keeps_object(self) -> bool:
        """Whether a row of that fate refers to its object still, to be restored from."""
        return self in (Fate.EXPUNGED, Fate.WITHHELD)


class ObjectState(Enum):
    """LIVE may be referred to; QUARANTINED is an orphan under observation; CONDEMNED waits for its deletion."""

    LIVE = 1
    QUARANTINED = 2
    CONDEMNED = 3


@dataclass(frozen=True, slots=True)
class Account:
    """An owner of mail. ``uuid`` (16 octets, random) names it in objects and caches; quotas of 0 mean none."""

    id: AccountId
    uuid: bytes
    address: str
    active: bool
    quota_octets: int
    quota_messages: int


@dataclass(frozen=True, slots=True)
class Credentials:
    """What opens an account: its password's hash, and the app password that was given, where one was: its id, 0 for
    none, and the protocols that it is for."""

    account: Account
    password_hash: str
    app_password: int = 0
    protocols: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Usage:
    """What an account's live messages sum up to."""

    octets: int
    messages: int


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A mailbox row. ``special_use`` is an attribute such as ``\\Sent`` (RFC 6154), or None."""

    id: MailboxId
    account: AccountId
    name: str
    uidvalidity: int
    uidnext: int
    highest_modseq: int
    forgotten_modseq: int
    recent_uid: int
    special_use: str | None


@dataclass(frozen=True, slots=True)
class MessageRow:
    """One live message as the index holds it; ``flags`` are bits."""

    id: MessageId
    uid: int
    modseq: int
    flags: int
    octets: int
    internaldate_us: int
    object: ObjectId


@dataclass(frozen=True, slots=True)
class BlobRef:
    """Where a blob's octets are and how to cut them out. ``frames`` is empty for a blob of one frame.

    ``account`` (the uuid of the account that reads) is part of every cache key (P11).
    """

    account: bytes
    key: str
    octets: int
    stored_octets: int
    codec: str
    sha256: bytes
    frames: bytes


@dataclass(frozen=True, slots=True)
class Rendering:
    """What every list view needs of a message, made once at delivery by ``mime.render`` and stored beside the object.

    ``envelope`` and ``bodystructure`` are wire bytes ready for FETCH. ``header`` is the message's header block as
    stored, its blank line included. ``header_fields`` and ``parts`` are packed offsets: ``mime.fields`` and
    ``mime.parts`` read them. ``subject`` to ``bcc`` are decoded and case-folded for searches; ``sent_us`` is the
    Date field's moment (local date and time kept as RFC 3501's SENT* keys disregard the zone, so it is the
    *local* wall clock as if UTC), or None where the field is missing or unreadable.
    """

    version: int
    envelope: bytes
    bodystructure: bytes
    header: bytes
    header_fields: bytes
    parts: bytes
    sent_us: int | None
    subject: str
    base_subject: str
    from_: str
    to: str
    cc: str
    bcc: str
    message_id: str
    references: str


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A blob whose object is in the store and readable, ready to be referred to by rows.

    ``born_us`` is the moment in its key: the transaction that first refers to it must come within an hour of it.
    """

    key: str
    born_us: int
    octets: int
    stored_octets: int
    codec: str
    sha256: bytes
    frames: bytes
    rendering: Rendering


@dataclass(frozen=True, slots=True)
class Virus:
    """What a scanner found in a message, by its name, and what is done with the message: ``withhold``, ``junk`` or
    ``reject``."""

    signature: str
    action: str

    @property
    def is_withheld(self) -> bool:
        """Whether the message is kept where administrators alone can restore it from."""
        return self.action == "withhold"


# What a webhook's receiver can be told of.
EVENT_KINDS: Final[tuple[str, ...]] = (
    "message.delivered",
    "account.add",
    "account.change",
    "account.delete",
    "quota.warning",
    "quota.exceeded",
    "virus.found",
)


class FlagMode(Enum):
    """How STORE combines its flags with those a message has (RFC 3501 section 6.4.6)."""

    REPLACE = "FLAGS"
    ADD = "+FLAGS"
    REMOVE = "-FLAGS"
