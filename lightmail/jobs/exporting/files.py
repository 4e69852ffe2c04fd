"""Files written safely: nothing has its name before it is whole and on disk, and nothing is overwritten unasked."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Final

MARK: Final = ".lightmail-export"


class ExportError(Exception):
    """The export cannot be written; the text is one line that says what is wrong and what to do."""


def claim(path: str, kind: str, account: bytes, *, force: bool) -> None:
    """Make the directory, or find that it is empty or an export of the same account; note there whose it is.

    Raises ExportError where it holds anything else, unless `force`.
    """
    whose = {"format": kind, "account": account.hex()}
    mark = os.path.join(path, MARK)
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        if os.path.exists(mark):
            with open(mark, "rb") as file:
                known = json.loads(file.read() or b"{}")
            if known != whose and not force:
                raise ExportError(f"{path}: it is an export of another account or format; choose another directory")
        elif os.listdir(path) and not force:
            raise ExportError(
                f"{path}: it is not empty and no export; choose another directory, or --force to add to it"
            )
        write_whole(mark, json.dumps(whose).encode("ascii"))
    except OSError as error:
        raise trouble(path, error) from None
    except ValueError:
        raise ExportError(f"{mark}: it cannot be read; remove it, or choose another directory") from None


def trouble(path: str, error: OSError) -> ExportError:
    """The error for an operator."""
    whom = f" (the export runs as user id {os.geteuid()})" if isinstance(error, PermissionError) else ""
    return ExportError(f"{error.filename or path}: {error.strerror or error}{whom}")


def write_whole(path: str, octets: bytes) -> None:
    """Give `path` these octets at once: a crash leaves the old file or the new one."""
    temporary = f"{path}.partial"
    with open(temporary, "wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, path)
    sync_directory(os.path.dirname(path))


def sync_directory(path: str) -> None:
    """Put a directory's entries on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directories(path: str, names: Sequence[str]) -> None:
    """Make directories below `path`, and put that on disk."""
    for name in names:
        os.makedirs(os.path.join(path, name), mode=0o700, exist_ok=True)
    sync_directory(path)


def with_lf(octets: bytes) -> bytes:
    """The octets with LF at the ends of lines, where putting CRLF there again brings them back; else as they are."""
    plain = octets.replace(b"\r\n", b"\n")
    exact = b"\r\r\n" not in octets and plain.count(b"\n") == octets.count(b"\r\n")
    return plain if exact else octets
