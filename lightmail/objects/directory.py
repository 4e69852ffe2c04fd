"""Objects as files below a directory: durable when `put` returns, listed in order.

obstore's own directory store leaves a new object in the page cache and lists in the order of the disk, and a read
through it costs several times what these three system calls do.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import BinaryIO, Final

from twisted.logger import Logger

from lightmail import points
from lightmail.errors import Corruption, Outage, StartupError, Unavailable
from lightmail.objects.backends import ObjectMissing

log = Logger()

# New objects are written here first; what a crash left is swept at a start, when it is this old.
_INCOMING = ".incoming"
_STALE_SECONDS = 3600


# A full disk, a broken one, or a network's that does not answer: what is there can perhaps still be read.
MAY_PASS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN})


class DirectoryStore:
    """An `ObjectStore` in a directory of a local file system. Files are for the owner's eyes only.

    Several processes may share the directory. `check` comes before all else: it makes the directory, and from then on
    a directory that is gone is a file system that is not mounted, not an empty store.
    """

    remote = False

    def __init__(self, path: str) -> None:
        self._root = os.path.normpath(path)
        self._incoming = os.path.join(self._root, _INCOMING)
        # Directories known to be there durably: each was fsynced into its parent by this process.
        self._durable: set[str] = set()

    def _path(self, key: str) -> str:
        if any(part in ("", ".", "..", _INCOMING) for part in key.split("/")):
            raise Corruption  # no key of ours: it must not lead out of the directory
        return os.path.join(self._root, key)

    def put(self, key: str, body: bytes | BinaryIO) -> None:
        path = self._path(key)
        directory = os.path.dirname(path)
        try:
            if directory not in self._durable:
                self._require_root()
                self._make_durable(directory)
            if not (isinstance(body, bytes) and _created(path, body)):
                self._replace(path, body)
            _sync_directory(directory)
        except OSError as error:
            raise self._unavailable("put", key, error) from None

    def _replace(self, path: str, body: bytes | BinaryIO) -> None:
        """Write a file beside the others and then give it its name."""
        temporary = os.path.join(self._incoming, secrets.token_hex(8))
        try:
            with _written(temporary, body) as file:
                points.reached("object-writing")
                _name_and_sync(file, temporary, path)
        except OSError:
            _remove(temporary)
            raise

    def _make_durable(self, directory: str) -> None:
        """Make `directory` with its parents; each new entry is on disk before anything counts as stored below it."""
        if directory in self._durable:
            return
        parent = os.path.dirname(directory)
        if directory.startswith(self._root + os.sep) or not os.path.isdir(parent):
            self._make_durable(parent)
        with suppress(FileExistsError):
            os.mkdir(directory, mode=0o700)
        _sync_directory(parent)
        self._durable.add(directory)

    def read(self, key: str, start: int, stop: int) -> bytes:
        try:
            file = os.open(self._path(key), os.O_RDONLY | os.O_CLOEXEC)
            try:
                return _read_range(file, start, stop)
            finally:
                os.close(file)
        except FileNotFoundError:
            self._require_root()
            raise ObjectMissing from None
        except OSError as error:
            raise self._unavailable("read", key, error) from None

    def size(self, key: str) -> int | None:
        try:
            return os.stat(self._path(key)).st_size
        except FileNotFoundError:
            self._require_root()
            return None
        except OSError as error:
            raise self._unavailable("size", key, error) from None

    def _require_root(self) -> None:
        # A file system that is not mounted looks like one whose objects are all gone.
        if not os.path.isdir(self._incoming):
            log.error("object store: {path} is not there; is its file system mounted?", path=self._incoming)
            raise Unavailable

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            try:
                _remove(self._path(key))
            except OSError as error:
                raise self._unavailable("delete", key, error) from None

    def keys(self, prefix: str, after: str = "", limit: int = 1000) -> list[str]:
        top = f"{prefix}/" if prefix else ""
        if prefix:
            self._path(prefix)
        found: list[str] = []
        try:
            for key in self._walk(top, after):
                if len(found) == limit:
                    break
                found.append(key)
        except OSError as error:
            raise self._unavailable("keys", prefix, error) from None
        return found

    def _walk(self, top: str, after: str) -> Iterator[str]:
        """Keys below `top` ("" or ending in a slash) and greater than `after`, in order."""
        try:
            with os.scandir(os.path.join(self._root, top)) as entries:
                # A directory sorts as the keys below it do: with its slash.
                names = sorted(
                    entry.name + "/" if entry.is_dir(follow_symlinks=False) else entry.name
                    for entry in entries
                    if not entry.name.startswith(".")
                )
        except (FileNotFoundError, NotADirectoryError):
            self._require_root()
            return
        for name in names:
            key = top + name
            if not name.endswith("/"):
                if key > after:
                    yield key
            elif key > after or after.startswith(key):
                yield from self._walk(key, after)

    def check(self) -> None:
        try:
            self._make_durable(self._incoming)
            self._sweep()
            probe = os.path.join(self._incoming, secrets.token_hex(8))
            with _written(probe, b"probe") as file:
                os.fsync(file.fileno())
            _remove(probe)
        except OSError as error:
            reason = error.strerror or str(error)
            kind = Outage if error.errno in MAY_PASS else StartupError
            raise kind(f"The object directory {self._root} cannot be written: {reason}.") from None

    def _sweep(self) -> None:
        stale = time.time() - _STALE_SECONDS
        with os.scandir(self._incoming) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if entry.stat(follow_symlinks=False).st_mtime < stale:
                        os.unlink(entry.path)

    def _unavailable(self, call: str, key: str, error: OSError) -> Unavailable:
        reason = f"object store: {call} of {key}: {error}"
        log.error("{reason}", reason=reason, call=call, key=key)
        return Unavailable(reason=reason)


def _created(path: str, body: bytes) -> bool:
    """Write a new file and put it on disk; False where there is one of this name already.

    Straight under its name, for a fresh key is known to nobody before its object is stored: what a crash leaves of it
    is an orphan, whether it lacks octets or only a row.
    """
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return False
    try:
        rest = memoryview(body)
        while rest:
            rest = rest[os.write(file, rest) :]
        points.reached("object-writing")
        os.fdatasync(file)  # all but the times of the file
    except OSError:
        _remove(path)
        raise
    finally:
        os.close(file)
    return True


def _written(path: str, body: bytes | BinaryIO) -> BinaryIO:
    """A new file that holds `body`, not synced yet."""
    file = open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")  # noqa: SIM115  the caller closes it
    try:
        if isinstance(body, bytes):
            file.write(body)
        else:
            shutil.copyfileobj(body, file, 256 << 10)
        file.flush()
    except BaseException:
        file.close()
        raise
    return file


def _name_and_sync(file: BinaryIO, temporary: str, path: str) -> None:
    """Give a written file its name and put its octets on disk; the directory is the caller's to sync.

    Nothing refers to a fresh key yet, so a crash may leave what it likes there: the name comes first, and syncing the
    file takes its new entry along. Of a key that is overwritten a crash must leave the old object or the new one.
    """
    if os.path.lexists(path):
        os.fsync(file.fileno())
        os.rename(temporary, path)
    else:
        os.rename(temporary, path)
        os.fsync(file.fileno())


def _read_range(descriptor: int, start: int, stop: int) -> bytes:
    data = os.pread(descriptor, stop - start, start)
    if 0 < len(data) < stop - start:
        # Short, at the end of the file or by a signal: only the next read tells.
        return data + _read_range(descriptor, start + len(data), stop)
    return data


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)
