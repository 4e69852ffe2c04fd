"""For a process whose reactor thread is watched: it writes each file that its main thread opens, renames or removes.

Python imports this by itself where the directory is on its path; AUDIT_FILE names the file to write to. Processes that
the watched one starts have no reactor, and are let be.
"""

from __future__ import annotations

import os
import sys
import threading

_WATCHED = frozenset({"open", "os.rename", "os.remove", "os.mkdir", "os.scandir", "os.listdir", "os.truncate"})
_MAIN = threading.main_thread().ident
_OUT = os.open(os.environ["AUDIT_FILE"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if event in _WATCHED and threading.get_ident() == _MAIN:
        os.write(_OUT, f"{event} {arguments[0]!r}\n".encode(errors="replace"))


if any(word.endswith("twistd") for word in sys.orig_argv):
    sys.addaudithook(_hook)
