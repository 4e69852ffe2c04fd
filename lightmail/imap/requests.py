"""A command on its way through the queue: its tag, its name, its row and its unread arguments."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from lightmail.imap.commands import Command
from lightmail.imap.framing import Frame
from lightmail.imap.tokens import Tokens

# RFC 3501: a tag is ASTRING-CHARs except "+", up to a space: the beginning of something else is nobody's tag. A UID
# command's name is two words.
_HEAD: Final = re.compile(
    rb'([^\x00-\x20\x7f-\xff(){%*"\\+]{1,255})(?![^ ])(?: +((?:UID +)?[A-Z0-9]{1,32})(?![^ ]))?', re.I
)


class Request:
    """One framed command. ``tag`` is ``*`` where it has none, ``name`` empty; ``row`` is None for an unknown name."""

    __slots__ = ("_arguments", "_start", "frame", "name", "row", "tag")

    def __init__(self, frame: Frame, rows: Mapping[bytes, Command[Any]]) -> None:
        self.frame = frame
        self.tag = b"*"
        self.name = b""
        self._start = 0
        self._arguments: Any = None
        match = _HEAD.match(frame.texts[0]) if frame.texts else None
        if match is not None:
            self.tag = match.group(1)
            name = (match.group(2) or b"").upper()
            self.name = b" ".join(name.split()) if b" " in name else name
            self._start = match.end()
        self.row = rows.get(self.name)

    @property
    def uses_seqs(self) -> bool:
        """Whether it holds sequence numbers, or its responses do."""
        return self.row is not None and self.row.uses_seqs

    def arguments(self) -> Any:
        """What its row's parser makes of the arguments, which is done once. Raises what that raises."""
        if self._arguments is None and self.row is not None:
            self._arguments = self.row.parse(self.tokens())
        return self._arguments

    def tokens(self) -> Tokens:
        """The arguments, with the cursor behind the command's name."""
        return Tokens(self.frame.texts, self.frame.literals, self._start)
