"""The format of mbox (RFC 4155): where messages begin, what stands before them, what a reader wrote into them.

A message begins at a line ``From sender date`` that is the file's first or comes after an empty line. Before lines that
would look like one, writers put ``>``: mboxrd before every such line, however many it has, so that it can be taken away
again; mboxo only where there is none. ``Status`` and its like are how mail readers keep flags in such a file; they
become flags and are left out, as Dovecot does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import BinaryIO, Final

from lightmail.jobs.importing.source import kept_flags, with_crlf

_BLOCK: Final = 1 << 20
# A From line is at most this long; whatever is longer is text.
_LINE: Final = 1000
# A time of day and a year: what every writer of a From line puts there, in whatever order.
_FROM: Final = re.compile(rb"From (?=[^\r\n]*\b\d{1,2}:\d\d)[^\r\n]*\b[12]\d{3}\b")
_DATE: Final = re.compile(
    rb"\b(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\s+(\d{1,2})\s+(\d{1,2}):(\d\d)(?::(\d\d))?"
    rb"(?:\s+(?!\d{4}\b)[A-Z+\-]\S*)*\s+(\d{4})(?:\s+([+-])(\d\d)(\d\d))?"
)
_ZONE_BEFORE_YEAR: Final = re.compile(rb"\d\s+([+-])(\d\d)(\d\d)\s+\d{4}\b")
_MONTHS: Final = {
    name: number for number, name in enumerate(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)
}

_QUOTED: Final = {"rd": re.compile(rb"^>(?=>*From )", re.MULTILINE), "o": re.compile(rb"^>(?=From )", re.MULTILINE)}
QUOTINGS: Final = ("rd", "o", "none")

_HEADER_END: Final = re.compile(rb"^\r?$", re.MULTILINE)
_FIELD: Final = re.compile(rb"([^\n:]+)(?::([^\n]*(?:\n[ \t][^\n]*)*))?\n?")
_OURS: Final = frozenset(
    b"status x-status x-keywords x-uid x-imap x-imapbase content-length"
    b" x-mozilla-status x-mozilla-status2 x-mozilla-keys".split()
)
_LETTERS: Final = {
    b"status": {ord("R"): b"\\Seen"},
    b"x-status": {ord("A"): b"\\Answered", ord("F"): b"\\Flagged", ord("T"): b"\\Draft", ord("D"): b"\\Deleted"},
}
# https://www-archive.mozilla.org/mailnews/arch/msgflags
_MOZILLA: Final = {
    0x0001: b"\\Seen", 0x0002: b"\\Answered", 0x0004: b"\\Flagged", 0x0008: b"\\Deleted", 0x1000: b"$Forwarded"
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Parsed:
    """A message of an mbox; `internaldate_us` is None where its From line has no date that can be read."""

    from_line: bytes
    octets: bytes
    flags: tuple[bytes, ...]
    internaldate_us: int | None
    internal: bool


def spans(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Where in the file each message begins, at its From line, and ends. Reads it once; memory stays small."""
    base, held, told = 0, b"", -1
    begun: int | None = None
    while True:
        block = file.read(_BLOCK)
        held += block
        # A From line that begins further on may not be complete.
        certain = len(held) - _LINE if block else len(held)
        for place in _begins(held, at_start=base == 0):
            if place > certain or base + place <= told:
                continue
            if begun is not None:
                yield begun, base + place
            begun = told = base + place
        if not block:
            break
        cut = max(len(held) - 2 * _LINE, 0)
        base, held = base + cut, held[cut:]
    if begun is not None:
        yield begun, base + len(held)


def _begins(held: bytes, *, at_start: bool) -> Iterator[int]:
    if at_start and held.startswith(b"From "):
        yield 0
    before = held.find(b"\nFrom ")
    while before >= 0:
        follows_empty = held[before - 1 : before] == b"\n" or held[max(before - 2, 0) : before] == b"\n\r"
        if follows_empty and _FROM.match(held, before + 1, before + 1 + _LINE):
            yield before + 1
        before = held.find(b"\nFrom ", before + 1)


def parse(raw: bytes, quoting: str, zone: tzinfo = UTC) -> Parsed:
    """The message that stands in `raw`, from its From line to the next; `zone` is for dates that name none."""
    from_line, _, text = raw.partition(b"\n")
    # The empty line before the next From line is none of the message's.
    text = text[:-2] if text.endswith(b"\r\n\r\n") else text[:-1] if text.endswith(b"\n\n") or text == b"\n" else text
    if quoting in _QUOTED and b">From " in text:
        text = _QUOTED[quoting].sub(b"", text)
    fields, rest = _fields(text)
    kept = b"".join(field for name, _, field in fields if name not in _OURS)
    own = [(name, value) for name, value, _ in fields if name in _OURS]
    return Parsed(
        from_line.rstrip(b"\r"),
        with_crlf(kept + rest),
        kept_flags(_flags(own)),
        _moment_us(from_line, zone),
        _is_internal(own, fields),
    )


def _fields(text: bytes) -> tuple[list[tuple[bytes, bytes, bytes]], bytes]:
    """The header's fields as (name in lower case, value, all of it), and the rest of the message."""
    end = _HEADER_END.search(text)
    head, rest = (text, b"") if end is None else (text[: end.start()], text[end.start() :])
    found = [(match[1].strip().lower(), (match[2] or b"").strip(), match[0]) for match in _FIELD.finditer(head)]
    return found, rest


def _flags(fields: list[tuple[bytes, bytes]]) -> Iterator[bytes]:
    for name, value in fields:
        for letter in value:
            if flag := _LETTERS.get(name, {}).get(letter):
                yield flag
        if name == b"x-mozilla-status" and re.fullmatch(rb"[0-9A-Fa-f]{1,8}", value):
            yield from (flag for bit, flag in _MOZILLA.items() if int(value, 16) & bit)
        if name in (b"x-keywords", b"x-mozilla-keys"):
            yield from value.split()


def _is_internal(own: list[tuple[bytes, bytes]], fields: list[tuple[bytes, bytes, bytes]]) -> bool:
    """Whether it is the note that c-client and Dovecot put first into a file, for themselves."""
    marked = any(name in (b"x-imap", b"x-imapbase") for name, _ in own)
    return marked and any(name == b"subject" and b"FOLDER INTERNAL DATA" in value for name, value, _ in fields)


def _moment_us(line: bytes, zone: tzinfo) -> int | None:
    match = _DATE.search(line)
    if match is None:
        return None
    offset = _ZONE_BEFORE_YEAR.search(line)
    sign, hours, minutes = offset.groups() if offset else (match[7], match[8], match[9])
    if sign:
        distance = timedelta(hours=int(hours), minutes=int(minutes))
        zone = timezone(-distance if sign == b"-" else distance) if distance < timedelta(hours=24) else UTC
    month, day, hour, minute = _MONTHS[match[1]], int(match[2]), int(match[3]), int(match[4])
    try:
        moment = datetime(int(match[6]), month, day, hour, minute, min(int(match[5] or 0), 59), tzinfo=zone)
    except ValueError:
        return None
    return int(moment.timestamp()) * 1_000_000
