r"""The arguments of one complete command, taken token by token (RFC 3501 section 9).

A command is texts with literals between them: the k-th literal follows the k-th text, whose ``{n}`` the framing has
cut off already. Every method takes what its name says from the front or raises :class:`Bad`; none looks at a text
twice, so a parser made of them is linear in the command's size. Separators are explicit: ``tokens.sp()``.
"""

from __future__ import annotations

import builtins
import datetime as dt
import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from lightmail.errors import Invalid
from lightmail.imap import mutf7
from lightmail.imap.sequences import NUMBER_MAX, SequenceSet
from lightmail.model import INBOX, is_inbox

if TYPE_CHECKING:
    from lightmail.objects.spool import Spool

T = TypeVar("T")

NESTING_MAX: Final = 32
_NUMBER64_MAX: Final = (1 << 63) - 1

# RFC 3501: ATOM-CHAR is any CHAR but atom-specials, which are ( ) { SP CTL % * " \ ]; ASTRING-CHAR allows ].
_ATOM: Final = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\\]]+')
_ASTRING: Final = re.compile(rb'[^\x00-\x20\x7f-\xff(){%*"\\]+')
_LIST_ATOM: Final = re.compile(rb'[^\x00-\x20\x7f-\xff(){"\\]+')
_FLAG: Final = re.compile(rb'\\?[^\x00-\x20\x7f-\xff(){%*"\\\]]+')
# Octets above 127 are let through: clients write UTF-8 passwords and search texts as quoted strings.
_QUOTED: Final = re.compile(rb'"((?:[^"\\\r\n\x00]|\\["\\])*)"')
_ESCAPED: Final = re.compile(rb'\\(["\\])')
_DIGITS: Final = re.compile(rb"[0-9]{1,20}")
_SEQUENCE: Final = re.compile(rb"[0-9*:,]+")
_DATE: Final = re.compile(rb"([0-9]{1,2})-([A-Za-z]{3})-([0-9]{4})")
_DATE_TIME: Final = re.compile(
    rb'"( [0-9]|[0-9]{1,2})-([A-Za-z]{3})-([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) ([+-])([0-9]{2})([0-9]{2})"'
)
_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"), 1
    )
}
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Bad(Exception):
    """A command that breaks the grammar: answered ``tag BAD text``. `text` is one line of ASCII."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Tokens:
    """A cursor over one command's arguments. ``Tokens([b"1:3 FLAGS"])`` is a command without literals."""

    __slots__ = ("_depth", "_index", "_literals", "_pos", "_text", "_texts")

    def __init__(self, texts: Sequence[bytes], literals: Sequence[bytes | Spool] = (), start: int = 0) -> None:
        self._texts = texts
        self._literals = literals
        self._text = texts[0]
        self._index = 0
        self._pos = start
        self._depth = 0

    # -- looking ahead

    @property
    def at_end(self) -> bool:
        """Whether nothing is left, neither text nor literals."""
        return self._pos >= len(self._text) and self._index >= len(self._literals)

    def peek(self) -> bytes:
        """The next octet, b"{" where a literal comes next, b"" at the end."""
        if self._pos < len(self._text):
            return self._text[self._pos : self._pos + 1]
        return b"{" if self._index < len(self._literals) else b""

    def rest_is(self, octets: bytes) -> bool:
        """Whether `octets` are all that is left."""
        return self._index >= len(self._literals) and self._text[self._pos :] == octets

    def skip(self, octets: bytes) -> bool:
        """Take `octets` (any case) if they come next; whether they did."""
        end = self._pos + len(octets)
        if self._text[self._pos : end].upper() != octets.upper():
            return False
        self._pos = end
        return True

    # -- separators

    def expect(self, octets: bytes) -> None:
        """Take `octets` (any case)."""
        if not self.skip(octets):
            raise Bad(f"Expected {octets.decode('ascii')} here")

    def sp(self) -> None:
        """Take one space."""
        if self._text[self._pos : self._pos + 1] != b" ":
            raise Bad("Missing argument" if self.at_end else "Expected a space between arguments")
        self._pos += 1

    def end(self) -> None:
        """Nothing may be left; trailing spaces, which some clients send, are let pass."""
        if self._index < len(self._literals) or self._text[self._pos :].strip(b" "):
            raise Bad("Too many arguments")

    # -- words

    def atom(self) -> bytes:
        """``atom``, as it was written."""
        return self._take(_ATOM, "an atom")

    def word(self) -> bytes:
        """``atom`` in upper case: a keyword of the protocol."""
        return self._take(_ATOM, "an atom").upper()

    def rest(self) -> bytes:
        """All that is left of the command, which must hold no literal."""
        if self._index < len(self._literals):
            raise Bad("A literal does not belong here")
        rest = self._text[self._pos :]
        self._pos = len(self._text)
        return rest

    def short_rest(self, most: int) -> bytes | None:
        """All that is left of the command, if that is one text of at most `most` octets; else None, and it stays."""
        if self._index < len(self._literals) or len(self._text) - self._pos > most:
            return None
        return self.rest()

    def string(self) -> bytes:
        """``string``: quoted, or a literal without NUL."""
        if self._pos >= len(self._text):
            return self._literal_octets()
        match = _QUOTED.match(self._text, self._pos)
        if match is None:
            raise Bad("Expected a string")
        self._pos = match.end()
        content = match.group(1)
        return _ESCAPED.sub(rb"\1", content) if b"\\" in content else content

    def astring(self) -> bytes:
        """``astring``: an atom (with ] allowed) or a string."""
        match = _ASTRING.match(self._text, self._pos)
        if match is None:
            return self.string()
        self._pos = match.end()
        return match.group()

    def nstring(self) -> bytes | None:
        """``nstring``: a string, or None for NIL."""
        if self.peek() in (b'"', b"{"):
            return self.string()
        self.expect(b"NIL")
        return None

    def literal(self) -> bytes | Spool:
        """A literal, which is a :class:`Spool` where the command's row streams it (APPEND's message)."""
        if self._pos < len(self._text) or self._index >= len(self._literals):
            raise Bad("Expected a literal")
        literal = self._literals[self._index]
        self._index += 1
        self._text = self._texts[self._index]
        self._pos = 0
        return literal

    # -- numbers

    def number(self) -> int:
        """``number``: 0 to 4294967295."""
        return self._number(NUMBER_MAX)

    def nz_number(self) -> int:
        """``nz-number``: 1 to 4294967295."""
        number = self._number(NUMBER_MAX)
        if not number:
            raise Bad("Zero is not allowed here")
        return number

    def number64(self) -> int:
        """``number64`` (RFC 9051): 0 to 2^63 - 1, for sizes."""
        return self._number(_NUMBER64_MAX)

    def sequence_set(self) -> SequenceSet:
        """``sequence-set``."""
        try:
            return SequenceSet.parse(self._take(_SEQUENCE, "a sequence set"))
        except ValueError:
            raise Bad("Invalid sequence set") from None

    # -- lists and flags

    def list(self, item: Callable[[], T], empty: bool = True) -> builtins.list[T]:
        """``( item SP item … )``, each item taken by `item`, which may take a list in turn (bounded nesting)."""
        self.expect(b"(")
        self._depth += 1
        if self._depth > NESTING_MAX:
            raise Bad("Too many nested parentheses")
        items: builtins.list[T] = []
        if not (empty and self.peek() == b")"):
            items.append(item())
            while self.skip(b" "):
                items.append(item())
        self.expect(b")")
        self._depth -= 1
        return items

    def flag(self) -> bytes:
        r"""``flag``, as it was written: ``\Seen``, ``$Junk``."""
        return self._take(_FLAG, "a flag")

    def flag_list(self) -> builtins.list[bytes]:
        """``flag-list``: flags in parentheses, none allowed."""
        return self.list(self.flag)

    # -- names and dates

    def mailbox(self) -> str:
        """``mailbox`` as a name of the store: decoded, NFC, INBOX in upper case. Invalid where it spells no name."""
        return mailbox_name(self.astring())

    def list_mailbox(self) -> bytes:
        """``list-mailbox``: a name or pattern in wire spelling, wildcards included."""
        match = _LIST_ATOM.match(self._text, self._pos)
        if match is None:
            return self.string()
        self._pos = match.end()
        return match.group()

    def date(self) -> dt.date:
        """``date``, quoted or not: ``1-Feb-1994``."""
        quoted = self.skip(b'"')
        match = _DATE.match(self._text, self._pos)
        if match is None:
            raise Bad("Expected a date such as 1-Feb-1994")
        self._pos = match.end()
        if quoted:
            self.expect(b'"')
        day, month, year = match.groups()
        try:
            return dt.date(int(year), _MONTHS[month.lower()], int(day))
        except (KeyError, ValueError):
            raise Bad("No such date") from None

    def date_time(self) -> int:
        """``date-time``, quoted, as Unix microseconds: ``" 7-Feb-1994 21:52:25 -0800"``."""
        match = _DATE_TIME.match(self._text, self._pos)
        if match is None:
            raise Bad('Expected a date-time such as " 7-Feb-1994 21:52:25 -0800"')
        self._pos = match.end()
        day, month, year, hours, minutes, seconds, sign, zone_hours, zone_minutes = match.groups()
        offset = dt.timedelta(hours=int(zone_hours), minutes=int(zone_minutes))
        try:
            moment = dt.datetime(
                int(year),
                _MONTHS[month.lower()],
                int(day),
                int(hours),
                int(minutes),
                min(int(seconds), 59),  # a leap second
                tzinfo=dt.timezone(-offset if sign == b"-" else offset),
            )
        except (KeyError, ValueError):
            raise Bad("No such date") from None
        return (moment - _EPOCH) // dt.timedelta(microseconds=1)

    # -- inner workings

    def _take(self, pattern: re.Pattern[bytes], what: str) -> bytes:
        match = pattern.match(self._text, self._pos)
        if match is None:
            raise Bad("Missing argument" if self.at_end else f"Expected {what}")
        self._pos = match.end()
        return match.group()

    def _number(self, largest: int) -> int:
        number = int(self._take(_DIGITS, "a number"))
        if number > largest:
            raise Bad("Number out of range")
        return number

    def _literal_octets(self) -> bytes:
        if self._index >= len(self._literals):
            raise Bad("Missing argument")
        literal = self.literal()
        if not isinstance(literal, bytes):
            raise Bad("A literal of this kind does not belong here")
        if b"\0" in literal:
            raise Bad("NUL is not allowed in a literal")
        return literal


def mailbox_name(wire: bytes) -> str:
    """The store's name for a name in wire spelling (RFC 3501 section 5.1): NFC, its INBOX in upper case.

    ``inbox/x`` is below INBOX as well: two mailboxes whose names differ in the case of INBOX help nobody.
    """
    try:
        name = unicodedata.normalize("NFC", mutf7.decode(wire))
    except ValueError:
        raise Invalid("The mailbox name is not valid modified UTF-7.") from None
    head, delimiter, rest = name.partition("/")
    return INBOX + delimiter + rest if is_inbox(head) else name
