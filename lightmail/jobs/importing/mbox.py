"""Files of mbox as a source: one file, or a tree of them (ours, Thunderbird's, Dovecot's, Apple Mail's)."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, tzinfo
from typing import BinaryIO, Final

from lightmail.jobs import folders
from lightmail.jobs.importing.mboxfile import Parsed, parse, spans
from lightmail.jobs.importing.source import Folder, Item, Left, Loaded, SourceError, key_of
from lightmail.model import INBOX

SUFFIX: Final = ".mbox"
# Thunderbird's directory of the mailboxes below one.
_BELOW: Final = ".sbd"
# What lies beside mailboxes: Thunderbird's indexes, locks, filters.
_NONE: Final = (".msf", ".dat", ".lock", ".html", ".json", ".plist")
_DEPTH: Final = 30
# Apple Mail's and ours: a mailbox may be a directory that holds a file of this name.
_INNER: Final = "mbox"


class MboxSource:
    """The file or the tree at `path`. `quoting`: "rd", "o" or "none"; `zone` is for dates that name none.

    Messages over `most_octets` are listed with their size and a key of little worth; nobody may load them.
    """

    generation_octets = 0

    def __init__(self, path: str, *, quoting: str = "rd", zone: tzinfo = UTC, most_octets: int = 50 << 20) -> None:
        self._root = os.path.realpath(path)
        self.identity = f"mbox:{self._root}"
        self._quoting = quoting
        self._zone = zone
        self._most = most_octets

    @property
    def is_file(self) -> bool:
        """Whether it is one file, not a tree."""
        return not os.path.isdir(self._root)

    def folders(self) -> tuple[list[Folder], list[Left]]:
        found: dict[tuple[str, ...], str] = {}
        left: list[Left] = []
        try:
            if self.is_file:
                with self._file("") as file:
                    if not _is_mbox(file):
                        raise SourceError(f"{self._root}: it is no mbox: its first line does not begin with From")
                level = _level(os.path.basename(self._root))
                found[(INBOX if level.lower() in ("mbox", "inbox") else level,)] = ""
            else:
                self._look_below("", (), found, left)
        except OSError as error:
            whom = f"(the import runs as user id {os.geteuid()}; let it read there)"
            raise SourceError(f"{self._root}: {error.strerror} {whom}") from None
        if not found:
            raise SourceError(f"{self._root}: no mbox is there: no file begins with a line From")
        subscribed = self._subscriptions()
        return [
            Folder(levels, place, subscribed=None if subscribed is None else "/".join(levels) in subscribed)
            for levels, place in found.items()
        ], left

    def _look_below(
        self, below: str, above: tuple[str, ...], found: dict[tuple[str, ...], str], left: list[Left]
    ) -> None:
        if len(above) > _DEPTH:
            left.append(Left(below, "directories lie too deep"))
            return
        with os.scandir(os.path.join(self._root, below)) as scanned:
            entries = sorted(scanned, key=lambda entry: entry.name)
        for entry in entries:
            place = os.path.join(below, entry.name)
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                self._look_below(place, (*above, _level(entry.name)), found, left)
            elif entry.is_symlink():
                left.append(Left(place, "it is a symbolic link; import what it leads to by itself"))
            elif not entry.name.endswith(_NONE):
                self._look_at(place, above, found, left)

    def _look_at(self, place: str, above: tuple[str, ...], found: dict[tuple[str, ...], str], left: list[Left]) -> None:
        name = os.path.basename(place)
        is_inner = name == _INNER and os.path.dirname(place).endswith(SUFFIX)
        levels = above if is_inner else (*above, _level(name))
        try:
            with self._file(place) as file:
                is_mbox = _is_mbox(file)
        except OSError as error:
            left.append(Left(place, error.strerror or str(error)))
            return
        if not is_mbox:
            left.append(Left(place, "it is no mbox: its first line does not begin with From"))
        elif levels in found:
            left.append(Left(place, f"{found[levels]} has the same name"))
        else:
            found[levels] = place

    def _subscriptions(self) -> set[str] | None:
        if self.is_file:
            return None
        for name in (".subscriptions", "subscriptions"):
            try:
                with self._file(name) as file:
                    lines = file.read().decode("utf-8", "surrogateescape").splitlines()
                return {"/".join(map(folders.read, line.split("/"))) for line in lines}
            except OSError:
                continue
        return None

    def items(self, folder: Folder) -> tuple[list[Item], list[Left]]:
        found: list[Item] = []
        seen: Counter[bytes] = Counter()
        try:
            with self._file(folder.place) as file:
                for start, end in list(spans(file)):
                    place = f"{folder.place or self._root}: message at octet {start}"
                    if end - start > self._most:
                        found.append(Item(key_of(b"%d" % start), end - start, place, None))
                        continue
                    parsed = self._parsed(file, start, end)
                    if parsed.internal:
                        continue
                    digest = _digest(parsed)
                    seen[digest] += 1
                    # A file may hold a message twice, and then both are brought.
                    key = digest if seen[digest] == 1 else key_of(digest, b"%d" % seen[digest])
                    found.append(Item(key, len(parsed.octets), place, (start, end, digest)))
        except OSError as error:
            return [], [Left(folder.place, error.strerror or str(error))]
        return found, []

    def load(self, folder: Folder, items: Sequence[Item]) -> list[Loaded | Left]:
        return list(self._loaded(folder, items))

    def _loaded(self, folder: Folder, items: Sequence[Item]) -> Iterator[Loaded | Left]:
        try:
            with self._file(folder.place) as file:
                status = os.fstat(file.fileno())
                for item in items:
                    start, end, digest = item.handle
                    parsed = self._parsed(file, start, end)
                    if _digest(parsed) != digest:
                        yield Left(item.place, "the file was changed while it was read; run the import again")
                        continue
                    moment_us = parsed.internaldate_us
                    yield Loaded(
                        item,
                        parsed.octets,
                        parsed.flags,
                        status.st_mtime_ns // 1000 if moment_us is None else moment_us,
                    )
        except OSError as error:
            yield Left(folder.place, error.strerror or str(error))

    def close(self) -> None:
        pass

    def _parsed(self, file: BinaryIO, start: int, end: int) -> Parsed:
        file.seek(start)
        return parse(file.read(end - start), self._quoting, self._zone)

    def _file(self, place: str) -> BinaryIO:
        """A regular file of the tree; no link is followed below its root."""
        path = os.path.join(self._root, place) if place else self._root
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(0, "it is no regular file")
        return open(descriptor, "rb")


def _is_mbox(file: BinaryIO) -> bool:
    """Whether an mbox begins here; an empty file is a mailbox without messages."""
    return file.read(5) in (b"", b"From ")


def _level(name: str) -> str:
    for suffix in (SUFFIX, _BELOW):
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            name = name[: -len(suffix)]
            break
    return folders.read(name)


def _digest(parsed: Parsed) -> bytes:
    """What tells a message from others of its file, whatever flags it has."""
    return key_of(parsed.from_line, parsed.octets)
