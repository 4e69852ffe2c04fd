"""Writing Maildir++: INBOX is the directory itself, `Sub/Folder` the directory ``.Sub.Folder`` below it.

A file's name is made of the message's UIDVALIDITY and UID, so a second run finds what the first has written. Beside
the messages stand Dovecot's own lists: keywords, UIDs, subscriptions.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from lightmail.jobs import folders
from lightmail.jobs.exporting.files import make_directories, sync_directory, trouble, with_lf, write_whole
from lightmail.jobs.exporting.message import Exported, Origin
from lightmail.jobs.importing.maildir import FLAG_LETTERS, KEYWORDS_FILE, SUBSCRIPTION_FILES, UIDLIST_FILE
from lightmail.model import HIERARCHY_DELIMITER, INBOX

_LETTERS: Final = {name.lower(): letter for letter, name in FLAG_LETTERS.items()}
_KEYWORDS: Final = 26
_NAME_OCTETS: Final = 255


class MaildirSink:
    """Writes below the directory `path`. Blocking."""

    kind = "maildir"

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)
        self._present: dict[str, set[str]] = {}
        self._keywords: dict[str, list[bytes]] = {}
        self.notes: list[str] = []

    def begin(self, origin: Origin) -> set[int]:
        """Make the mailbox's directory; the UIDs of messages that are there. Raises ExportError."""
        directory = self._directory(origin.name)
        try:
            make_directories(directory, ("tmp", "new", "cur"))
            if directory != self.path:
                write_whole(os.path.join(directory, "maildirfolder"), b"")
            self._keywords[origin.name] = _read_keywords(os.path.join(directory, KEYWORDS_FILE))
            names = [name for box in ("new", "cur") for name in os.listdir(os.path.join(directory, box))]
        except OSError as error:
            raise trouble(directory, error) from None
        mark = f"V{origin.uidvalidity}U"
        found = {name.partition(mark)[2].partition(".")[0] for name in names if mark in name}
        return {int(uid) for uid in found if uid.isdigit()}

    def write(self, origin: Origin, messages: Sequence[Exported]) -> None:
        """Write messages: all their files are on disk when this returns. Raises ExportError."""
        directory = self._directory(origin.name)
        try:
            self._learn(origin, directory, messages)
            named: list[tuple[str, str]] = []
            for message in messages:
                text = with_lf(message.octets)
                name = self._name(origin, message, len(text))
                temporary = os.path.join(directory, "tmp", name.partition(":")[0])
                with open(temporary, "wb") as file:
                    file.write(text)
                    file.flush()
                    os.utime(file.fileno(), ns=(message.internaldate_us * 1000,) * 2)
                    os.fsync(file.fileno())
                named.append((temporary, os.path.join(directory, "cur", name)))
            for temporary, place in named:
                os.rename(temporary, place)
            sync_directory(os.path.join(directory, "cur"))
        except OSError as error:
            raise trouble(directory, error) from None

    def end(self, origin: Origin) -> None:
        """Note the UIDs as Dovecot does, so that whoever reads the Maildir sees them, and their order."""
        directory = self._directory(origin.name)
        try:
            mark = f"V{origin.uidvalidity}U"
            files = [name for name in os.listdir(os.path.join(directory, "cur")) if mark in name]
            uids = sorted((int(name.partition(mark)[2].partition(".")[0]), name.partition(":")[0]) for name in files)
            head = f"3 V{origin.uidvalidity} N{origin.uidnext} G{origin.guid.hex()}\n"
            lines = "".join(f"{uid} :{base}\n" for uid, base in uids)
            write_whole(os.path.join(directory, UIDLIST_FILE), (head + lines).encode("ascii"))
        except OSError as error:
            raise trouble(directory, error) from None

    def finish(self, subscribed: Sequence[str]) -> None:
        """Note the subscriptions. Raises ExportError."""
        lines = "".join(f"{_directory_name(name)[1:] or INBOX}\n" for name in subscribed)
        try:
            write_whole(os.path.join(self.path, SUBSCRIPTION_FILES[0]), lines.encode("ascii"))
        except OSError as error:
            raise trouble(self.path, error) from None

    def _directory(self, mailbox: str) -> str:
        name = _directory_name(mailbox)
        if len(name) > _NAME_OCTETS:
            raise trouble(mailbox, OSError(0, "its name is too long for a directory; rename it first"))
        return os.path.join(self.path, name) if name else self.path

    def _name(self, origin: Origin, message: Exported, octets: int) -> str:
        seconds, micros = divmod(message.internaldate_us, 1_000_000)
        base = f"{seconds}.M{micros}V{origin.uidvalidity}U{message.uid}.lightmail,S={octets},W={len(message.octets)}"
        own = self._keywords[origin.name]
        letters = {_LETTERS[flag.lower()] for flag in message.flags if flag.lower() in _LETTERS}
        folded = [keyword.lower() for keyword in own]
        places = {folded.index(flag.lower()) for flag in message.flags if flag.lower() in folded}
        return f"{base}:2,{''.join(sorted(letters))}{''.join(chr(ord('a') + place) for place in sorted(places))}"

    def _learn(self, origin: Origin, directory: str, messages: Sequence[Exported]) -> None:
        """Have a letter for every keyword, as long as there are letters; written before any file has one."""
        own = self._keywords[origin.name]
        known = {keyword.lower() for keyword in own} | _LETTERS.keys()
        wanted = dict.fromkeys(flag for message in messages for flag in message.flags if flag.lower() not in known)
        fitting = list(wanted)[: _KEYWORDS - len(own)]
        if len(fitting) < len(wanted):
            note = f"{origin.name}: a Maildir has room for {_KEYWORDS} keywords; some messages lost theirs"
            self.notes += [] if note in self.notes else [note]
        if fitting:
            own += fitting
            lines = b"".join(b"%d %s\n" % (number, keyword) for number, keyword in enumerate(own))
            write_whole(os.path.join(directory, KEYWORDS_FILE), lines)


def _directory_name(mailbox: str) -> str:
    if mailbox == INBOX:
        return ""
    return "".join(f".{folders.spelled(level, dots=True)}" for level in mailbox.split(HIERARCHY_DELIMITER))


def _read_keywords(path: str) -> list[bytes]:
    try:
        with open(path, "rb") as file:
            return [line.partition(b" ")[2] for line in file.read().splitlines()]
    except FileNotFoundError:
        return []
