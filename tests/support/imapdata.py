"""Reads IMAP data (RFC 3501 section 4) back: lists, strings, literals, numbers and NIL. Strict: AssertionError else."""

from __future__ import annotations

import re
from typing import Any

_TOKEN = re.compile(
    rb'"((?:[\x01-\x09\x0b\x0c\x0e-\x21\x23-\x5b\x5d-\x7f]|\\["\\])*)"|\{(\d+)\}\r\n|(\()|(\))|(NIL|\d+)'
)


def parse_imap(data: bytes) -> Any:
    """Return one value: a list, bytes, int or None. Spaces must stand where the grammar has them, and nowhere else."""
    stack: list[list[Any]] = [[]]
    position = 0
    after_value = False  # a space or ")" must come, except between the bodies of a multipart and between addresses
    while position < len(data):
        if data[position] == 32:
            assert after_value, f"misplaced space at {position}"
            after_value = False
            position += 1
            assert data[position : position + 1] not in (b" ", b")", b""), f"misplaced space at {position}"
            continue
        match = _TOKEN.match(data, position)
        assert match is not None, f"no token at {position}: {data[position : position + 40]!r}"
        position = match.end()
        quoted, literal, opens, closes, atom = match.groups()
        if opens is not None:
            assert not after_value or data[position - 2 : position - 1] == b")"
            stack.append([])
            after_value = False
            continue
        if closes is not None:
            value: Any = stack.pop()
            assert stack, f"unbalanced at {position}"
        else:
            assert not after_value, f"no space before {position}"
            if literal is not None:
                value = data[position : position + int(literal)]
                assert len(value) == int(literal)
                assert b"\0" not in value
                position += int(literal)
            elif atom is not None:
                value = None if atom == b"NIL" else int(atom)
            else:
                value = re.sub(rb"\\(.)", rb"\1", quoted)
        stack[-1].append(value)
        after_value = True
    assert len(stack) == 1, "unbalanced"
    assert len(stack[0]) == 1, "more than one value"
    return stack[0][0]
