"""The FETCH items: a row for each name, with what it needs and how its column of an answer is made.

An answer is one format, put together from the items' slots, applied to the rows that their columns make when zipped:
all work that does not depend on the message is done once a command. Items are read from a command by `read_items`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Flag, auto
from typing import Final

from lightmail.imap.fetch.sections import RFC822, RFC822_HEADER, RFC822_TEXT, Section, read_section
from lightmail.imap.fetch.window import Window
from lightmail.imap.tokens import Bad, Tokens
from lightmail.mime.dates import format_internaldate
from lightmail.mime.fields import FieldList
from lightmail.mime.strings import literal
from lightmail.mime.structure import strip_extensions

_MICROSECONDS: Final = 1_000_000


class Needs(Flag):
    """What an item is made from, beside the mailbox index."""

    INDEX = 0
    STRUCTURE = auto()
    HEADER = auto()
    FIELDS = auto()
    PARTS = auto()
    OBJECT = auto()


@dataclass(frozen=True, slots=True)
class Item:
    """One data item of FETCH.

    ``slot`` is its place in the format of an answer: its name, and ``%d`` or ``%b`` for what ``column`` gives of each
    message of a window. ``section`` is what is asked of the message's octets, for items that are octets.
    """

    slot: bytes
    needs: Needs
    column: Callable[[Window], Iterable[object]] = field(compare=False)
    section: Section | None = None

    @property
    def sets_seen(self) -> bool:
        r"""Whether fetching it sets \Seen."""
        return self.section is not None and self.section.sets_seen

    @property
    def fields(self) -> FieldList | None:
        """The field list whose answers it is, where it is nothing else."""
        return self.section.list if self.section is not None and self.needs is Needs.FIELDS else None


def _uids(window: Window) -> Iterable[object]:
    return window.rows.uids


def _flags(window: Window) -> Iterable[object]:
    return map(window.flag_text.__getitem__, window.rows.flags)


def _sizes(window: Window) -> Iterable[object]:
    return window.rows.octets


def _internaldates(window: Window) -> Iterable[object]:
    return [format_internaldate(seconds * _MICROSECONDS) for seconds in window.rows.internaldates]


def _envelopes(window: Window) -> Iterable[object]:
    structures = window.structures
    return [structures[of][0] for of in window.rows.objects]


def _bodystructures(window: Window) -> Iterable[object]:
    structures = window.structures
    return [structures[of][1] for of in window.rows.objects]


def _bodies(window: Window) -> Iterable[object]:
    structures = window.structures
    return [strip_extensions(structures[of][1]) for of in window.rows.objects]


def section_item(section: Section) -> Item:
    """The item that answers `section`: from header blocks or what was cut from them, where they suffice; else from
    the objects.
    """
    slot = section.label.replace(b"%", b"%%") + b" %b"
    if section.from_header:
        if section.list is not None and section.count is None:
            return Item(slot, Needs.FIELDS, _fields_column(section.list), section)
        return Item(slot, Needs.HEADER, _header_column(section), section)
    needs = Needs.OBJECT | (Needs.PARTS if section.needs_parts else Needs.INDEX)
    return Item(slot, needs, _cut_column(section), section)


def _fields_column(fields: FieldList) -> Callable[[Window], Iterable[object]]:
    return lambda window: map(window.answers[fields].__getitem__, window.rows.objects)


def _header_column(section: Section) -> Callable[[Window], Iterable[object]]:
    fields = section.list
    if fields is None:
        return lambda window: [literal(section.partial(window.headers[of][0])) for of in window.rows.objects]
    cut = fields.cut
    return lambda window: [literal(section.partial(cut(*window.headers[of]))) for of in window.rows.objects]


def _cut_column(section: Section) -> Callable[[Window], Iterable[object]]:
    def column(window: Window) -> Iterable[object]:
        return [b"NIL" if octets is None else literal(octets) for octets in window.cuts[section]]

    return column


UID: Final = Item(b"UID %d", Needs.INDEX, _uids)
FLAGS: Final = Item(b"FLAGS (%b)", Needs.INDEX, _flags)
INTERNALDATE: Final = Item(b"INTERNALDATE %b", Needs.INDEX, _internaldates)
SIZE: Final = Item(b"RFC822.SIZE %d", Needs.INDEX, _sizes)
ENVELOPE: Final = Item(b"ENVELOPE %b", Needs.STRUCTURE, _envelopes)
BODY: Final = Item(b"BODY %b", Needs.STRUCTURE, _bodies)
BODYSTRUCTURE: Final = Item(b"BODYSTRUCTURE %b", Needs.STRUCTURE, _bodystructures)

# Each name of RFC 3501 section 6.4.5 without a section in brackets.
ITEMS: Final[dict[bytes, Item]] = {
    b"BODY": BODY,
    b"BODYSTRUCTURE": BODYSTRUCTURE,
    b"ENVELOPE": ENVELOPE,
    b"FLAGS": FLAGS,
    b"INTERNALDATE": INTERNALDATE,
    b"RFC822": section_item(RFC822),
    b"RFC822.HEADER": section_item(RFC822_HEADER),
    b"RFC822.SIZE": SIZE,
    b"RFC822.TEXT": section_item(RFC822_TEXT),
    b"UID": UID,
}
MACROS: Final[dict[bytes, tuple[Item, ...]]] = {
    b"ALL": (FLAGS, INTERNALDATE, SIZE, ENVELOPE),
    b"FAST": (FLAGS, INTERNALDATE, SIZE),
    b"FULL": (FLAGS, INTERNALDATE, SIZE, ENVELOPE, BODY),
}


def read_items(tokens: Tokens) -> tuple[Item, ...]:
    """What follows the sequence set of FETCH: a macro, an item or a list of items (RFC 3501 section 9, ``fetch``)."""
    if tokens.peek() == b"(":
        return tuple(tokens.list(lambda: _read_item(tokens), empty=False))
    item = _read_bracketed(tokens)
    if item is not None:
        return (item,)
    name = tokens.word()
    return MACROS.get(name) or (_named(name),)


def _read_item(tokens: Tokens) -> Item:
    return _read_bracketed(tokens) or _named(tokens.word())


def _read_bracketed(tokens: Tokens) -> Item | None:
    if tokens.skip(b"BODY["):
        return section_item(read_section(tokens, sets_seen=True))
    if tokens.skip(b"BODY.PEEK["):
        return section_item(read_section(tokens, sets_seen=False))
    return None


def _named(name: bytes) -> Item:
    item = ITEMS.get(name)
    if item is None:
        raise Bad("Unknown FETCH item")
    return item
