"""What an IMAP server says, as `imaplib` hands it over: mailboxes of LIST, records of FETCH."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

_LIST: Final = re.compile(rb'\(([^)]*)\) (?:"((?:[^"\\]|\\.)*)"|NIL) (.+)\Z', re.DOTALL | re.IGNORECASE)
_LITERAL: Final = re.compile(rb"\{\d+\+?\}\Z")
_RECORD: Final = re.compile(rb"\d+ \(")
_UID: Final = re.compile(rb"\bUID (\d+)")
_SIZE: Final = re.compile(rb"\bRFC822\.SIZE (\d+)")
_FLAGS: Final = re.compile(rb"\bFLAGS \(([^)]*)\)")
_DATE: Final = re.compile(rb'\bINTERNALDATE "([^"]*)"')
_BODY: Final = re.compile(rb'\bBODY\[\] (?:"((?:[^"\\]|\\.)*)"|NIL)')


@dataclass(frozen=True, slots=True)
class Listed:
    """A line of LIST or LSUB: attributes in lower case, the delimiter ("" for none), the name as it is on the wire."""

    attributes: frozenset[bytes]
    delimiter: str
    name: bytes


@dataclass(frozen=True, slots=True)
class Fetched:
    """What FETCH said of one message; None for what it did not say."""

    uid: int | None
    octets: int | None
    flags: tuple[bytes, ...]
    internaldate_us: int | None
    body: bytes | None


def listed(data: Iterable[Any]) -> list[Listed]:
    """The mailboxes in a LIST's or LSUB's data; what cannot be read is left out."""
    found = []
    for line in data:
        if not line or line == b")":
            continue
        head, literal = line if isinstance(line, tuple) else (line, None)
        match = _LIST.match(head)
        if match is None:
            continue
        name = literal if literal is not None else _astring(match[3])
        attributes = frozenset(match[1].lower().split())
        found.append(Listed(attributes, _unquoted(match[2] or b"").decode("ascii", "replace"), name))
    return found


def fetched(data: Iterable[Any]) -> list[Fetched]:
    """The records in a FETCH's data. A message's octets come as a literal; the rest may stand before it or follow."""
    records: list[tuple[bytearray, bytes | None]] = []
    for piece in data:
        head, literal = piece if isinstance(piece, tuple) else (piece or b"", None)
        if _RECORD.match(head):
            records.append((bytearray(), None))
        if not records:
            continue
        text, body = records[-1]
        text += head
        records[-1] = (text, body if literal is None else literal)
    return [_fetched(bytes(text), body) for text, body in records]


def _fetched(text: bytes, body: bytes | None) -> Fetched:
    uid, size, flags, date = (pattern.search(text) for pattern in (_UID, _SIZE, _FLAGS, _DATE))
    if body is None and (short := _BODY.search(text)):
        body = _unquoted(short[1] or b"")
    return Fetched(
        int(uid[1]) if uid else None,
        int(size[1]) if size else None,
        tuple(flags[1].split()) if flags else (),
        _moment_us(date[1]) if date else None,
        body,
    )


def _moment_us(text: bytes) -> int | None:
    try:
        moment = datetime.strptime(text.decode("ascii").strip(), "%d-%b-%Y %H:%M:%S %z")
    except ValueError:
        return None
    return int(moment.timestamp()) * 1_000_000


def _astring(text: bytes) -> bytes:
    return _unquoted(text[1:-1]) if text[:1] == b'"' else text


def _unquoted(text: bytes) -> bytes:
    return re.sub(rb"\\(.)", rb"\1", text)


def quoted(text: bytes) -> bytes:
    """Octets as a quoted string for the server: a name that came from it, a user."""
    return b'"' + re.sub(rb'(["\\])', rb"\\\1", text) + b'"'
