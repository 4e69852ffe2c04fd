"""Writing files of mbox: a mailbox `Sub/Folder` is the file ``Sub/Folder.mbox``, in the quoting of mboxrd (RFC 4155).

A file gets its name when it is whole: one that has its name is not written again. Flags stand in ``Status``,
``X-Status`` and ``X-Keywords``, at the end of a message's header, and UIDs in ``X-UID``. The first message names the
UIDVALIDITY and all keywords in ``X-IMAPbase``, without which Dovecot would not see them.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from typing import BinaryIO, Final

from lightmail.jobs import folders
from lightmail.jobs.exporting.files import ExportError, sync_directory, trouble, write_whole
from lightmail.jobs.exporting.message import Exported, Origin
from lightmail.jobs.importing.mbox import SUFFIX
from lightmail.model import HIERARCHY_DELIMITER

_FROM: Final = re.compile(rb"^(?=>*From )", re.MULTILINE)
_HEADER_END: Final = re.compile(rb"^$", re.MULTILINE)
_RETURN_PATH: Final = re.compile(rb"Return-Path:[ \t]*<([^<>\s]+)>", re.IGNORECASE)
_STATUS: Final = {b"\\answered": b"A", b"\\flagged": b"F", b"\\draft": b"T", b"\\deleted": b"D"}
# Endings that a reader of trees takes for its own.
_ENDINGS: Final = (".mbox", ".sbd", ".msf", ".dat", ".lock", ".html", ".json", ".plist")
SUBSCRIPTIONS: Final = ".subscriptions"


class MboxSink:
    """Writes below the directory `path`; with `force`, files that are there are replaced. Blocking."""

    kind = "mbox"

    def __init__(self, path: str, *, force: bool = False) -> None:
        self.path = os.path.abspath(path)
        self.notes: list[str] = []
        self._force = force
        self._file: BinaryIO | None = None

    def begin(self, origin: Origin) -> set[int] | None:
        """Begin the mailbox's file; None where it is there already. Raises ExportError."""
        place = self._place(origin.name)
        if os.path.lexists(place) and not self._force:
            return None
        try:
            os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
            self._file = open(f"{place}.partial", "wb")  # noqa: SIM115  `end` closes it
        except OSError as error:
            raise trouble(place, error) from None
        return set()

    def write(self, origin: Origin, messages: Sequence[Exported]) -> None:
        """Append messages to the file. Raises ExportError."""
        assert self._file is not None
        try:
            for message in messages:
                base = _base(origin) if self._file.tell() == 0 else b""
                self._file.write(entry(message, base))
        except OSError as error:
            raise trouble(self._place(origin.name), error) from None

    def end(self, origin: Origin) -> None:
        """The file is whole: give it its name. Raises ExportError."""
        place = self._place(origin.name)
        file, self._file = self._file, None
        assert file is not None
        try:
            with file:
                file.flush()
                os.fsync(file.fileno())
            os.rename(f"{place}.partial", place)
            sync_directory(os.path.dirname(place))
        except OSError as error:
            raise trouble(place, error) from None

    def finish(self, subscribed: Sequence[str]) -> None:
        """Note the subscriptions. Raises ExportError."""
        lines = "".join("/".join(map(_spelled, name.split(HIERARCHY_DELIMITER))) + "\n" for name in subscribed)
        try:
            write_whole(os.path.join(self.path, SUBSCRIPTIONS), lines.encode("ascii"))
        except OSError as error:
            raise trouble(self.path, error) from None

    def _place(self, mailbox: str) -> str:
        levels = [_spelled(level) for level in mailbox.split(HIERARCHY_DELIMITER)]
        if any(len(level) > 240 for level in levels):
            raise ExportError(f"{mailbox}: its name is too long for a file; rename it first")
        return os.path.join(self.path, *levels) + SUFFIX


def _spelled(level: str) -> str:
    """A level as a file's name that no reader of trees takes for something else."""
    return folders.spelled(level, dots=level.startswith(".") or level.lower().endswith(_ENDINGS))


def _base(origin: Origin) -> bytes:
    """The field that speaks for the whole file."""
    return b"X-IMAPbase: %d %010d %b\n" % (origin.uidvalidity, origin.uidnext - 1, b" ".join(origin.keywords))


def entry(message: Exported, base: bytes = b"") -> bytes:
    """A message as it stands in an mbox, from its From line to the empty line behind it; `base` is a field for it."""
    text = message.octets.replace(b"\r\n", b"\n")
    if not text.endswith(b"\n"):
        text += b"\n"
    found = _RETURN_PATH.match(text)
    sender = found[1] if found else b"MAILER-DAEMON"
    moment = time.asctime(time.gmtime(message.internaldate_us // 1_000_000)).encode("ascii")
    end = _HEADER_END.search(text)
    place = end.start() if end is not None else len(text)
    text = text[:place] + base + b"X-UID: %d\n" % message.uid + _status(message.flags) + text[place:]
    return b"From " + sender + b" " + moment + b"\n" + _FROM.sub(b">", text) + b"\n"


def _status(flags: Sequence[bytes]) -> bytes:
    folded = {flag.lower() for flag in flags}
    lines = [b"Status: RO\n" if b"\\seen" in folded else b"Status: O\n"]
    if letters := b"".join(letter for flag, letter in _STATUS.items() if flag in folded):
        lines.append(b"X-Status: " + letters + b"\n")
    if keywords := [flag for flag in flags if not flag.startswith(b"\\")]:
        lines.append(b"X-Keywords: " + b" ".join(keywords) + b"\n")
    return b"".join(lines)
