"""Root's privileges, dropped for good once the ports are bound."""

from __future__ import annotations

import grp
import os
import pwd

from lightmail.config import SystemConfig
from lightmail.errors import StartupError


def prepare_directory(system: SystemConfig) -> None:
    """Make the data directory, and give it to the owner that the server will become. Raises StartupError."""
    path = system.data_directory
    try:
        if not os.path.isdir(path):
            uid, gid = _ids(system)
            os.makedirs(path, mode=0o750)
            if os.geteuid() == 0:
                os.chown(path, uid, gid)
    except OSError as error:
        raise StartupError(f"[system] data_directory: {path} cannot be made: {error.strerror}") from None


def owner_id(system: SystemConfig) -> int:
    """The user id that `drop` will take on; -1 where it changes nothing. Raises StartupError."""
    return _ids(system)[0] if os.geteuid() == 0 and system.owner is not None else -1


def drop(system: SystemConfig) -> None:
    """Become ``owner`` and ``group`` where the process is root and they are configured. Raises StartupError."""
    if os.geteuid() != 0 or (system.owner is None and system.group is None):
        return
    uid, gid = _ids(system)
    try:
        if system.owner is not None:
            os.initgroups(system.owner, gid)
        else:
            os.setgroups([gid])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError as error:
        raise StartupError(f"[system] owner: cannot become {system.owner}: {error.strerror}") from None


def _ids(system: SystemConfig) -> tuple[int, int]:
    """The user and group id to take on; what is not configured stays as it is. Raises StartupError."""
    uid, gid = os.geteuid(), os.getegid()
    try:
        if system.owner is not None:
            user = pwd.getpwnam(system.owner)
            uid, gid = user.pw_uid, user.pw_gid
        if system.group is not None:
            gid = grp.getgrnam(system.group).gr_gid
    except KeyError:
        raise StartupError(f"[system] owner, group: there is no {system.owner or ''} {system.group or ''}") from None
    return uid, gid
