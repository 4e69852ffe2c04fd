"""SEARCH and UID SEARCH (RFC 3501 section 6.4.4): the keys' table, their reading, and the answer.

The reader makes :mod:`lightmail.search.criteria` of the keys; what they cost to answer is no matter of the protocol.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import compress
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from lightmail.errors import LimitReached
from lightmail.imap.commands import OK, SELECT, Command, Completion
from lightmail.imap.sources import ServiceSources
from lightmail.imap.tokens import Bad, Tokens
from lightmail.search.criteria import (
    All,
    And,
    Arrived,
    Column,
    Criteria,
    HasFlag,
    InBody,
    InColumn,
    InHeader,
    IsRecent,
    Not,
    Numbered,
    Or,
    Sent,
    Sized,
)
from lightmail.search.evaluate import search
from lightmail.search.sources import Scope
from lightmail.turns import Turn

if TYPE_CHECKING:
    from lightmail.imap.mailbox import SelectedMailbox
    from lightmail.imap.server import ImapServer
    from lightmail.imap.services import ImapServices
    from lightmail.model import ObjectId

# What can be read at all; how many keys are answered is for the configuration to say (`limits.search_keys`).
KEYS_READ: Final = 128
CHARSETS: Final = (b"US-ASCII", b"UTF-8")
_BAD_CHARSET: Final = Completion(
    b"NO", b"BADCHARSET (" + b" ".join(CHARSETS) + b")", b"Strings can be searched for in these charsets only."
)
# Numbers that make about 64 KiB of an answer.
_NUMBERS_AT_ONCE: Final = 10_000
_DAY_US: Final = 86_400_000_000
_EPOCH: Final = dt.date(1970, 1, 1)

# The fields that have a column of their own are searched there by HEADER too.
_FIELD_COLUMNS: Final = {
    b"subject": Column.SUBJECT,
    b"from": Column.FROM,
    b"to": Column.TO,
    b"cc": Column.CC,
    b"bcc": Column.BCC,
}


@dataclass(frozen=True, slots=True)
class SearchArgs:
    """What to look for, in so many keys; None where the strings are in a charset that is not supported."""

    criteria: Criteria | None
    keys: int = 0


class _KeyReader:
    """Takes search keys from a command's arguments, and counts them."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens
        self.count = 0

    def keys(self) -> And:
        """``search-key *(SP search-key)`` to the command's end."""
        nodes = [self.key()]
        while not self.tokens.at_end and self.tokens.skip(b" "):
            if self.tokens.at_end:
                break  # a trailing space
            nodes.append(self.key())
        self.tokens.end()
        return And(tuple(nodes))

    def key(self) -> Criteria:
        """``search-key``. Every key counts, those within NOT, OR and parentheses too, which bounds the nesting."""
        self.count += 1
        if self.count > KEYS_READ:
            raise LimitReached("Too many search keys.")
        first = self.tokens.peek()
        if first == b"(":
            return And(tuple(self.tokens.list(self.key, empty=False)))
        if first.isdigit() or first == b"*":
            return Numbered(self.tokens.sequence_set(), by_uid=False)
        name = self.tokens.word()
        read = KEYS.get(name)
        if read is None:
            raise Bad("Unknown search key")
        return read(self)

    def text(self) -> str:
        """``SP astring`` in UTF-8 (of which US-ASCII is a part), folded as the store's texts are."""
        self.tokens.sp()
        try:
            return self.tokens.astring().decode("utf-8").casefold()
        except UnicodeDecodeError:
            raise Bad("The search string is not valid UTF-8") from None

    def day(self) -> int:
        """``SP date`` as the days from 1 January 1970."""
        self.tokens.sp()
        return (self.tokens.date() - _EPOCH).days

    def number(self) -> int:
        """``SP number``; sizes above 32 bits are taken too."""
        self.tokens.sp()
        return self.tokens.number64()

    def flag(self) -> HasFlag:
        """``SP flag-keyword``"""
        self.tokens.sp()
        return HasFlag(self.tokens.flag())

    def header(self) -> Criteria:
        """``SP header-fld-name SP astring``"""
        self.tokens.sp()
        name = self.tokens.astring().lower()
        text = self.text()
        if text and name in _FIELD_COLUMNS:
            return InColumn(_FIELD_COLUMNS[name], text)
        return InHeader(name, text)

    def either(self) -> Or:
        """``SP search-key SP search-key``"""
        self.tokens.sp()
        left = self.key()
        self.tokens.sp()
        return Or((left, self.key()))

    def negated(self) -> Not:
        """``SP search-key``"""
        self.tokens.sp()
        return Not(self.key())

    def uids(self) -> Numbered:
        """``SP sequence-set``"""
        self.tokens.sp()
        return Numbered(self.tokens.sequence_set(), by_uid=True)


def _flag(name: bytes) -> Callable[[_KeyReader], Criteria]:
    return lambda reader: HasFlag(name)


def _not_flag(name: bytes) -> Callable[[_KeyReader], Criteria]:
    return lambda reader: Not(HasFlag(name))


def _in(column: Column) -> Callable[[_KeyReader], Criteria]:
    return lambda reader: InColumn(column, reader.text())


# From the first of two days on, and before the second; None is no bound.
_Between: TypeAlias = Callable[[int | None, int | None], Criteria]


def _arrived(since: int | None, before: int | None) -> Arrived:
    return Arrived(None if since is None else since * _DAY_US, None if before is None else before * _DAY_US)


def _before(between: _Between) -> Callable[[_KeyReader], Criteria]:
    return lambda reader: between(None, reader.day())


def _since(between: _Between) -> Callable[[_KeyReader], Criteria]:
    return lambda reader: between(reader.day(), None)


def _on(between: _Between) -> Callable[[_KeyReader], Criteria]:
    def read(reader: _KeyReader) -> Criteria:
        day = reader.day()
        return between(day, day + 1)

    return read


# Each key of RFC 3501 section 6.4.4; sequence sets and parentheses, which have no name, are the reader's.
KEYS: Final[dict[bytes, Callable[[_KeyReader], Criteria]]] = {
    b"ALL": lambda reader: All(),
    b"ANSWERED": _flag(b"\\Answered"),
    b"BCC": _in(Column.BCC),
    b"BEFORE": _before(_arrived),
    b"BODY": lambda reader: InBody(reader.text(), or_header=False),
    b"CC": _in(Column.CC),
    b"DELETED": _flag(b"\\Deleted"),
    b"DRAFT": _flag(b"\\Draft"),
    b"FLAGGED": _flag(b"\\Flagged"),
    b"FROM": _in(Column.FROM),
    b"HEADER": _KeyReader.header,
    b"KEYWORD": _KeyReader.flag,
    b"LARGER": lambda reader: Sized(above=reader.number()),
    b"NEW": lambda reader: And((IsRecent(), Not(HasFlag(b"\\Seen")))),
    b"NOT": _KeyReader.negated,
    b"OLD": lambda reader: Not(IsRecent()),
    b"ON": _on(_arrived),
    b"OR": _KeyReader.either,
    b"RECENT": lambda reader: IsRecent(),
    b"SEEN": _flag(b"\\Seen"),
    b"SENTBEFORE": _before(Sent),
    b"SENTON": _on(Sent),
    b"SENTSINCE": _since(Sent),
    b"SINCE": _since(_arrived),
    b"SMALLER": lambda reader: Sized(below=reader.number()),
    b"SUBJECT": _in(Column.SUBJECT),
    b"TEXT": lambda reader: InBody(reader.text(), or_header=True),
    b"TO": _in(Column.TO),
    b"UID": _KeyReader.uids,
    b"UNANSWERED": _not_flag(b"\\Answered"),
    b"UNDELETED": _not_flag(b"\\Deleted"),
    b"UNDRAFT": _not_flag(b"\\Draft"),
    b"UNFLAGGED": _not_flag(b"\\Flagged"),
    b"UNKEYWORD": lambda reader: Not(reader.flag()),
    b"UNSEEN": _not_flag(b"\\Seen"),
}


def read_search(tokens: Tokens) -> SearchArgs:
    """``SP ["CHARSET" SP astring SP] search-key *(SP search-key)``"""
    tokens.sp()
    if tokens.skip(b"CHARSET "):
        if tokens.astring().upper() not in CHARSETS:
            return SearchArgs(None)  # what follows cannot be read in a charset that is not known
        tokens.sp()
    reader = _KeyReader(tokens)
    return SearchArgs(reader.keys(), reader.count)


async def run_search(session: ImapServer, args: SearchArgs, by_uid: bool) -> Completion:
    """Answer with the sequence numbers, or UIDs, of the messages that match."""
    selected = session.mbox
    assert selected is not None
    if args.criteria is None:
        return _BAD_CHARSET
    if args.keys > session.services.limits.search_keys:
        raise LimitReached("Too many search keys.")
    turn = Turn(session.services.database.reactor)
    found = await find(session.services, selected, args.criteria, by_uid, turn)
    for piece in _answer(found):
        await session.write(piece)
        await turn.offer()
    return OK


def _answer(numbers: Sequence[int]) -> Iterator[bytes]:
    """The SEARCH response (RFC 3501 section 7.2.5) in pieces of about 64 KiB."""
    head = b"* SEARCH"
    for start in range(0, len(numbers), _NUMBERS_AT_ONCE):
        piece = tuple(numbers[start : start + _NUMBERS_AT_ONCE])
        # One format for all: half of what str() of each would take.
        yield head + b" %d" * len(piece) % piece
        head = b""
    yield head + b"\r\n"


async def find(
    services: ImapServices, selected: SelectedMailbox, criteria: Criteria, by_uid: bool, turn: Turn
) -> list[int]:
    """The sequence numbers, or UIDs, of the messages that match, ascending."""
    whole = selected.view.whole()
    columns = whole.columns
    scope = Scope(
        count=whole.count,
        uids=columns.uids,
        flags=whole.flags,
        octets=columns.octets,
        internaldates=columns.internaldates,
        objects=cast("Sequence[ObjectId]", columns.objects),
        recent=whole.recent,
        flag_mask=selected.index.keywords.mask,
    )
    sources = ServiceSources(services, selected.account, whole, selected.index.chunk_refs)
    marks = await search(criteria, scope, sources, turn)
    return list(compress(columns.uids if by_uid else range(1, whole.count + 1), marks))


COMMANDS: Final[tuple[Command[SearchArgs], ...]] = (
    Command(b"SEARCH", SELECT, read_search, partial(run_search, by_uid=False), uses_seqs=True),
    Command(b"UID SEARCH", SELECT, read_search, partial(run_search, by_uid=True)),
)
