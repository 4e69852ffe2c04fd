"""Address lists of RFC 5322 section 3.4, groups and the obsolete forms of section 4.4 included.

Whatever the octets, something sane comes out and nothing is raised, in time linear in the length: one regular
expression takes the ordinary address whole, the rest is cut into tokens that are each looked at once.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

# The addresses and octets of one field that are looked at; a list that is longer ends there.
MAX_ADDRESSES: Final = 1000
MAX_OCTETS: Final = 128 * 1024


class Address(NamedTuple):
    """One element of an ENVELOPE's address lists (RFC 3501 section 7.4.2), quoting removed, encoded words kept.

    A group is a start, whose ``host`` is None and whose ``mailbox`` is its name, its members, and an end of four Nones.
    A host that the sender left out is empty, not None.
    """

    name: bytes | None
    route: bytes | None
    mailbox: bytes | None
    host: bytes | None


GROUP_END: Final = Address(None, None, None, None)

# `Name <local@host>`, `"Name" <local@host>`, `<local@host>` or `local@host`, up to its comma or the end. Possessive
# throughout: a mismatch costs the octets up to it once.
_ORDINARY: Final = re.compile(
    rb"[ \t]*+"
    rb'(?:(?:"([^"\\\r\n]*+)"|([^]"\\<>@,:;()[\r\n]*+))[ \t]*+'
    rb'<([^]\s"\\<>@,:;()[]++)@([^]\s"\\<>@,:;()[]++)>'
    rb'|([^]\s"\\<>@,:;()[]++)@([^]\s"\\<>@,:;()[]++))'
    rb"[ \t]*+(?:,|\Z)"
)
_TOKEN: Final = re.compile(
    rb"(?P<space>[ \t\r\n]++)"
    rb"|(?P<word>=\?[^?\s]*+\?[BbQq]\?[^?\s]*+\?=|[^]\s\"\\<>@,:;()[.]++|\.)"
    rb'|"(?P<quoted>(?:[^"\\]++|\\.)*+)"'
    rb"|(?P<literal>\[[^][]*+\])"
    rb"|(?P<special>.)",
    re.DOTALL,
)
_IN_COMMENT: Final = re.compile(rb"(?:[^()\\]++|\\.)*+([()])", re.DOTALL)
_QUOTED_PAIR: Final = re.compile(rb"\\(.)", re.DOTALL)
_BLANKS: Final = re.compile(rb"[ \t\r\n]+")

_Token = tuple[str, bytes]
_AT: Final[_Token] = ("special", b"@")
_JOINTS: Final[tuple[_Token, ...]] = (_AT, ("word", b"."))


def parse_addresses(value: bytes, limit: int = MAX_ADDRESSES) -> list[Address]:
    """Return the addresses of an unfolded field value, group marks included, at most ``limit`` of them."""
    value = value[:MAX_OCTETS]
    found: list[Address] = []
    position, end = 0, len(value)
    while position < end and len(found) < limit:
        match = _ORDINARY.match(value, position)
        if match is None:
            _Parser(value, position, found, limit).run()
            break
        found.append(_ordinary(match))
        position = match.end()
    return found


def _ordinary(match: re.Match[bytes]) -> Address:
    quoted, phrase, local, host, bare_local, bare_host = match.groups()
    if bare_local is not None:
        return Address(None, None, bare_local, bare_host)
    if phrase:
        phrase = phrase.rstrip(b" \t")
        if b"  " in phrase or b"\t" in phrase:
            phrase = _BLANKS.sub(b" ", phrase)
    return Address(quoted or phrase or None, None, local, host)


class _Parser:
    """Reads the rest of a list token by token, from the first address that is not of the ordinary form."""

    def __init__(self, value: bytes, position: int, found: list[Address], limit: int) -> None:
        self._value = value
        self._position = position
        self._found = found
        self._limit = limit
        self._in_group = False
        # Once a quote or parenthesis turns out never to close, no later one can: they are passed over unread.
        self._quotes_close = True
        self._comments_close = True

    def run(self) -> None:
        while self._position < len(self._value) and len(self._found) < self._limit:
            self._one()
        if self._in_group and len(self._found) <= self._limit:
            self._found.append(GROUP_END)

    def _one(self) -> None:
        """Read up to the comma, colon or semicolon that ends one address or opens or closes a group."""
        ordinary = _ORDINARY.match(self._value, self._position)
        if ordinary is not None:
            self._found.append(_ordinary(ordinary))
            self._position = ordinary.end()
            return
        before: list[_Token] = []
        angle: list[_Token] | None = None
        comment = b""
        while (token := self._next()) is not None:
            kind, text = token
            if kind == "comment":
                comment = text
                before.append(("space", b" "))
            elif kind != "special" or text == b"@":
                if angle is None:
                    before.append(token)
            elif text == b"<":
                inside = self._angle()
                if angle is None or _AT not in angle:
                    angle = inside
            elif text == b",":
                break
            elif text == b";":
                self._finish(before, angle, comment)
                if self._in_group:
                    self._found.append(GROUP_END)
                    self._in_group = False
                return
            elif text == b":" and angle is None and not self._in_group:
                self._found.append(Address(None, None, _phrase(before) or comment, None))
                self._in_group = True
                return
        self._finish(before, angle, comment)

    def _angle(self) -> list[_Token]:
        """The tokens up to ">"; an angle that never closes ends with the list's next comma outside a route."""
        inside: list[_Token] = []
        while (token := self._next()) is not None:
            if token == ("special", b">"):
                break
            if token == ("special", b",") and not (inside and inside[0] == _AT):
                self._position -= 1
                break
            if token[0] != "comment":
                inside.append(token)
        return inside

    def _next(self) -> _Token | None:
        match = _TOKEN.match(self._value, self._position) if self._quotes_close else None
        if match is None:
            match = _UNQUOTED_TOKEN.match(self._value, self._position)
            if match is None:
                return None
        kind, text = str(match.lastgroup), match[str(match.lastgroup)]
        self._position = match.end()
        if kind == "quoted":
            return kind, _QUOTED_PAIR.sub(rb"\1", text) if b"\\" in text else text
        if kind == "special":
            if text == b'"':
                self._quotes_close = False
                return "space", b""
            if text == b"(" and self._comments_close:
                return self._comment()
        return kind, text

    def _comment(self) -> _Token:
        start = self._position
        depth, position = 1, start
        while depth:
            match = _IN_COMMENT.match(self._value, position)
            if match is None:
                self._comments_close = False
                return "space", b" "
            depth += 1 if match[1] == b"(" else -1
            position = match.end()
        self._position = position
        text = self._value[start : position - 1]
        return "comment", _BLANKS.sub(b" ", _QUOTED_PAIR.sub(rb"\1", text)).strip()

    def _finish(self, before: list[_Token], angle: list[_Token] | None, comment: bytes) -> None:
        if angle is not None:
            route, mailbox, host = _angle_address(angle)
            self._found.append(Address(_phrase(before) or comment or None, route, mailbox, host))
            return
        words = _trimmed(before)
        if words:
            name, mailbox, host = _bare_address(words)
            self._found.append(Address(name or comment or None, None, mailbox, host))


_UNQUOTED_TOKEN: Final = re.compile(_TOKEN.pattern.replace(rb'|"(?P<quoted>(?:[^"\\]++|\\.)*+)"', b""), re.DOTALL)


def _trimmed(tokens: list[_Token]) -> list[_Token]:
    start, end = 0, len(tokens)
    while start < end and tokens[start][0] == "space":
        start += 1
    while end > start and tokens[end - 1][0] == "space":
        end -= 1
    return tokens[start:end]


def _phrase(tokens: list[_Token]) -> bytes:
    """The words of a display name with single spaces where the sender had any (RFC 5322's obs-phrase has dots)."""
    words: list[bytes] = []
    apart = True
    for kind, text in tokens:
        if kind != "space":
            words.append(text)
            apart = False
        elif text and not apart:
            words.append(b" ")
            apart = True
    return b"".join(words).strip()


def _joined(tokens: list[_Token]) -> bytes:
    return b"".join(text for kind, text in tokens if kind != "space")


def _angle_address(tokens: list[_Token]) -> tuple[bytes | None, bytes, bytes]:
    """Source route, local part and host of what stands between "<" and ">"."""
    route: bytes | None = None
    words = _trimmed(tokens)
    if words and words[0] == _AT and ("special", b":") in words:
        colon = words.index(("special", b":"))
        route = _joined(words[:colon])
        words = words[colon + 1 :]
    if _AT not in words:
        return route, _joined(words), b""
    last = _last_at(words)
    return route, _joined(words[:last]), _joined(words[last + 1 :])


def _last_at(words: list[_Token]) -> int:
    return len(words) - 1 - words[::-1].index(_AT)


def _bare_address(words: list[_Token]) -> tuple[bytes, bytes, bytes]:
    """Name, local part and host of an address without angle brackets; words before the local part are a name."""
    words = _tight(words)
    if _AT not in words:
        one = all(kind != "space" for kind, _ in words)
        return (b"", _joined(words), b"") if one else (_phrase(words), b"", b"")
    at = _last_at(words)
    start = at
    while start and words[start - 1][0] != "space":
        start -= 1
    end = at + 1
    while end < len(words) and words[end][0] != "space":
        end += 1
    return _phrase(words[:start]), _joined(words[start:at]), _joined(words[at + 1 : end])


def _tight(words: list[_Token]) -> list[_Token]:
    """Without the spaces beside dots and "@", which part no words (obs-local-part, obs-domain)."""
    tight: list[_Token] = []
    for word in words:
        if word[0] == "space" and (not word[1] or (tight and (tight[-1][0] == "space" or tight[-1] in _JOINTS))):
            continue
        if word in _JOINTS and tight and tight[-1][0] == "space":
            tight.pop()
        tight.append(word)
    return tight
