"""The directories: ours to write, nobody else's to read, with room."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Final

from lightmail.app.doctor.checks import Check, bad, good, warning
from lightmail.config import Config
from lightmail.config.values import size_text

_LITTLE: Final = 1 << 30
_NOTHING: Final = 128 << 20
_INODES: Final = 0.02


def look(config: Config) -> Iterator[Check]:
    """Every directory that the server writes to."""
    storage = config.storage
    wanted = {
        config.system.data_directory: "[system] data_directory",
        storage.spool_directory: "[storage] spool_directory",
    }
    if storage.driver == "directory":
        wanted[storage.path] = "[storage] path"
    if storage.driver == "s3" and storage.cache_octets:
        wanted[storage.cache_directory] = "[storage] cache_directory"
    if config.database.driver == "sqlite":
        wanted.setdefault(os.path.dirname(config.database.path), "[database] path")
    if config.api is not None and config.api.job_directory:
        wanted.setdefault(config.api.job_directory, "[api] job_directory")
    if config.logging.path:
        wanted.setdefault(os.path.dirname(config.logging.path), "[logging] path")
    for path, where in wanted.items():
        yield from _directory(where, path)


def _directory(where: str, path: str) -> Iterator[Check]:
    looked_at = f"{where} = {path}"
    present = path
    while not os.path.isdir(present) and os.path.dirname(present) != present:
        present = os.path.dirname(present)
    try:
        status, room = os.stat(present), os.statvfs(present)
    except OSError as error:
        yield bad("directory", looked_at, error.strerror or str(error), "mount it, or correct the path")
        return
    if not os.access(present, os.W_OK | os.X_OK):
        user = os.geteuid()
        found = f"user id {user} may not write to {present}"
        yield bad("directory", looked_at, found, f"chown it to the server's user, or name another ({where})")
        return
    if present != path:
        yield good("directory", looked_at, f"it will be made in {present}")
    elif where != "[logging] path" and status.st_mode & stat.S_IRWXO:
        yield warning("directory", looked_at, "others on this host may look into it", f"chmod o-rwx {path}")
    else:
        yield good("directory", looked_at, "ours to write")
    yield _room(looked_at, room)


def _room(looked_at: str, room: os.statvfs_result) -> Check:
    free = room.f_bavail * room.f_frsize
    advice = "make room, or move it to a larger file system"
    if free < _NOTHING:
        return bad("room", looked_at, f"{size_text(free)} free: mail is about to be refused", advice)
    if room.f_files and room.f_favail < room.f_files * _INODES:
        return warning("room", looked_at, f"{room.f_favail} inodes free", advice)
    if free < _LITTLE:
        return warning("room", looked_at, f"{size_text(free)} free", advice)
    return good("room", looked_at, f"{size_text(free)} free")
