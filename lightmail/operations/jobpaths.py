"""Files that jobs read and write: below one directory, whatever a request or a symbolic link says."""

from __future__ import annotations

import os

from lightmail.errors import Cannot, NoSuchFile


def below(directory: str, path: str) -> str:
    """The place that `path` names in `directory` ([api] job_directory), without symbolic links. Blocks: in a thread.

    Raises Cannot where no directory is configured, NoSuchFile where the path leads out of it.
    """
    if not directory:
        raise Cannot("Jobs may not use files: [api] job_directory is not set.")
    top = os.path.realpath(directory)
    try:
        found = os.path.realpath(os.path.join(top, path))
    except ValueError:  # it has a NUL in it
        raise NoSuchFile from None
    if found != top and not found.startswith(os.path.join(top, "")):
        raise NoSuchFile("The path is not below [api] job_directory.")
    return found


def existing(directory: str, path: str) -> str:
    """As `below`, for what is to be there already; NoSuchFile where it is not."""
    found = below(directory, path)
    if not os.path.exists(found):
        raise NoSuchFile
    return found
