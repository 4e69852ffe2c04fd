"""A Maildir as a source: Maildir++ (``.Sub.Folder``) and nested directories (Dovecot's ``LAYOUT=fs``).

Its owner may write there what he likes, and we may read what he may not: so nothing is reached through a symbolic
link, on the way or at its end, and only regular files are opened.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from lightmail.jobs import folders
from lightmail.jobs.importing.source import Folder, Item, Left, Loaded, SourceError, kept_flags, key_of, with_crlf
from lightmail.model import INBOX, is_inbox

# Letters of a file's name (https://cr.yp.to/proto/maildir.html; P, passed on, is what others call forwarded).
FLAG_LETTERS: Final = {
    "D": b"\\Draft",
    "F": b"\\Flagged",
    "P": b"$Forwarded",
    "R": b"\\Answered",
    "S": b"\\Seen",
    "T": b"\\Deleted",
}
KEYWORDS_FILE: Final = "dovecot-keywords"
UIDLIST_FILE: Final = "dovecot-uidlist"
# Dovecot's, and Courier's.
SUBSCRIPTION_FILES: Final = ("subscriptions", "courierimapsubscribed")
_BOXES: Final = ("cur", "new")
_DEPTH: Final = 30


class MaildirSource:
    """The Maildir in the directory `path`, its INBOX. `dates`: "file" for the files' times, "name" for their names'."""

    generation_octets = 0

    def __init__(self, path: str, *, dates: str = "file") -> None:
        self._root = os.path.realpath(path)
        self.identity = f"maildir:{self._root}"
        self._by_name = dates == "name"
        self._keywords: dict[str, list[bytes]] = {}

    def folders(self) -> tuple[list[Folder], list[Left]]:
        found: list[tuple[tuple[str, ...], str]] = []
        left: list[Left] = []
        try:
            if _is_maildir(self._root):
                found.append(((INBOX,), ""))
            self._look_below("", (), found, left)
        except OSError as error:
            raise SourceError(f"{self._root}: {error.strerror}{_whom()}") from None
        if not found:
            raise SourceError(f"{self._root}: no Maildir is there: neither it nor a directory below has cur and new")
        subscribed = self._subscriptions()
        listed = [
            Folder(levels, place, subscribed=None if subscribed is None else _is_among(levels, place, subscribed))
            for levels, place in sorted(found, key=lambda each: each[1])
        ]
        return listed, left

    def _look_below(
        self, below: str, above: tuple[str, ...], found: list[tuple[tuple[str, ...], str]], left: list[Left]
    ) -> None:
        if len(above) > _DEPTH:
            left.append(Left(below, "directories lie too deep"))
            return
        with os.scandir(os.path.join(self._root, below)) as entries:
            names = sorted((entry.name, entry.is_symlink(), entry.is_dir(follow_symlinks=False)) for entry in entries)
        for name, is_link, is_directory in names:
            place = os.path.join(below, name)
            if is_link and os.path.isdir(os.path.join(self._root, place)):
                left.append(Left(place, "it is a symbolic link; import what it leads to by itself"))
            if not is_directory or (name in (*_BOXES, "tmp") and not _is_maildir(os.path.join(self._root, place))):
                continue
            steps = name[1:].split(".") if name[0] == "." else [name]
            levels = (*above, *map(folders.read, steps))
            if _is_maildir(os.path.join(self._root, place)):
                found.append((levels, place))
            if name[0] != ".":
                self._look_below(place, levels, found, left)

    def _subscriptions(self) -> set[str] | None:
        """The names in the list of subscriptions as it spells them, levels parted by slashes; None without a list."""
        for name in SUBSCRIPTION_FILES:
            text = self._text(name)
            if text is None:
                continue
            lines = text.decode("utf-8", "surrogateescape").splitlines()
            # A newer list of Dovecot's begins with its version, and parts levels by tabs.
            lines = lines[1:] if lines and lines[0].startswith("V\t") else lines
            return {re.sub(r"[\t./]", "/", line) for line in lines if line}
        return None

    def items(self, folder: Folder) -> tuple[list[Item], list[Left]]:
        uids = _uids(self._text(os.path.join(folder.place, UIDLIST_FILE)))
        self._keywords[folder.place] = _keywords(self._text(os.path.join(folder.place, KEYWORDS_FILE)))
        found: list[tuple[tuple[int, float, str], Item]] = []
        left: list[Left] = []
        for box in _BOXES:
            place = os.path.join(folder.place, box)
            try:
                for name, status in self._listed(place):
                    if not stat.S_ISREG(status.st_mode):
                        left.append(Left(os.path.join(place, name), "it is no regular file"))
                        continue
                    base = _base(name)
                    key = key_of(base.encode("utf-8", "surrogateescape"))
                    item = Item(key, status.st_size, os.path.join(place, name), (box, name))
                    found.append(((uids.get(base, len(uids)), self._moment(name, status), name), item))
            except FileNotFoundError:
                continue
            except OSError as error:
                left.append(Left(place, f"{error.strerror}{_whom()}"))
        found.sort(key=lambda each: each[0])
        return [item for _, item in found], left

    def _listed(self, place: str) -> list[tuple[str, os.stat_result]]:
        with self._directory(place) as directory, os.scandir(directory) as entries:
            return [(each.name, each.stat(follow_symlinks=False)) for each in entries if each.name[0] != "."]

    def load(self, folder: Folder, items: Sequence[Item]) -> list[Loaded | Left]:
        done: list[Loaded | Left] = []
        keywords = self._keywords.get(folder.place, [])
        moved: dict[str, tuple[str, str]] | None = None
        for item in items:
            box, name = item.handle
            read = self._open(folder, box, name)
            if read is None:
                # A client that sets a flag renames the file meanwhile.
                moved = self._present(folder) if moved is None else moved
                box, name = moved.get(_base(name), (box, name))
                read = self._open(folder, box, name)
            if isinstance(read, Left):
                done.append(read)
            elif read is not None:
                octets, status = read
                moment = self._moment(name, status)
                done.append(Loaded(item, with_crlf(octets), _flags(name, keywords), round(moment * 1_000_000)))
        return done

    def close(self) -> None:
        self._keywords.clear()

    def _open(self, folder: Folder, box: str, name: str) -> tuple[bytes, os.stat_result] | Left | None:
        """A file's octets and status, None where it is gone."""
        place = os.path.join(folder.place, box)
        try:
            with self._directory(place) as directory:
                return _read(directory, name)
        except FileNotFoundError:
            return None
        except OSError as error:
            return Left(os.path.join(place, name), error.strerror or str(error))

    def _present(self, folder: Folder) -> dict[str, tuple[str, str]]:
        present: dict[str, tuple[str, str]] = {}
        for box in _BOXES:
            try:
                with self._directory(os.path.join(folder.place, box)) as directory:
                    present.update((_base(name), (box, name)) for name in os.listdir(directory))
            except OSError:
                continue
        return present

    def _moment(self, name: str, status: os.stat_result) -> float:
        """When the message came, in Unix seconds."""
        begins = re.match(r"\d{9,11}(?=\.)", name) if self._by_name else None
        return float(begins[0]) if begins else status.st_mtime_ns / 1e9

    def _text(self, place: str) -> bytes | None:
        """A small file of the Maildir's, or None where it has none that can be read."""
        try:
            with self._directory(os.path.dirname(place)) as directory:
                return _read(directory, os.path.basename(place))[0]
        except OSError:
            return None

    @contextmanager
    def _directory(self, place: str) -> Iterator[int]:
        """A descriptor of a directory below the root, every step towards it without a link."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._root, flags)
        try:
            for step in filter(None, place.split(os.sep)):
                below = os.open(step, flags, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)


def _is_maildir(path: str) -> bool:
    return any(os.path.isdir(os.path.join(path, box)) for box in _BOXES)


def _base(name: str) -> str:
    """What of a file's name stays when flags change and sizes are noted."""
    return re.split("[:,]", name, maxsplit=1)[0]


def _read(directory: int, name: str) -> tuple[bytes, os.stat_result]:
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "it is no regular file")
        return file.read(status.st_size), status


def _flags(name: str, keywords: Sequence[bytes]) -> tuple[bytes, ...]:
    letters = name.partition(":2,")[2].partition(",")[0]
    flags = [FLAG_LETTERS[letter] for letter in letters if letter in FLAG_LETTERS]
    places = [ord(letter) - ord("a") for letter in letters if "a" <= letter <= "z"]
    return kept_flags([*flags, *(keywords[place] for place in places if place < len(keywords))])


def _keywords(text: bytes | None) -> list[bytes]:
    """Dovecot's list: lines of a number and a keyword; letter `a` of a file's name is number 0."""
    named: dict[int, bytes] = {}
    for line in (text or b"").splitlines():
        number, _, keyword = line.partition(b" ")
        if number.isdigit() and int(number) < 26 and keyword:
            named[int(number)] = keyword
    return [named.get(number, b"") for number in range(max(named, default=-1) + 1)]


def _uids(text: bytes | None) -> dict[str, int]:
    """Dovecot's list: a head, then lines of ``UID [more] :file``; the place of each file in it."""
    ranked: list[tuple[int, str]] = []
    for line in (text or b"").split(b"\n")[1:]:
        uid, _, rest = line.partition(b" ")
        name = rest[1:] if rest[:1] == b":" else rest.partition(b" :")[2]
        if uid.isdigit() and name:
            ranked.append((int(uid), _base(name.decode("utf-8", "surrogateescape"))))
    return {base: place for place, (_, base) in enumerate(sorted(ranked))}


def _is_among(levels: tuple[str, ...], place: str, subscribed: set[str]) -> bool:
    if len(levels) == 1 and is_inbox(levels[0]):
        return True
    spelled = re.sub(r"[./]", "/", place.removeprefix("."))
    # Courier, and Dovecot with Courier's names, put INBOX above all others.
    return bool({spelled, f"{INBOX}/{spelled}", "/".join(levels), f"{INBOX}/{'/'.join(levels)}"} & subscribed)


def _whom() -> str:
    return f" (the import runs as user id {os.geteuid()}; let it read there)"
