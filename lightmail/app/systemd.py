"""Readiness for systemd: the datagrams of sd_notify(3), for a unit of Type=notify."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Final

READY: Final = "READY=1"
RELOADING: Final = "RELOADING=1"
WATCHDOG: Final = "WATCHDOG=1"
STOPPING: Final = "STOPPING=1"


def notify(state: str, environ: Mapping[str, str] | None = None) -> None:
    """Tell the service manager `state`, a line of VARIABLE=value. Without a manager this does nothing."""
    address = (os.environ if environ is None else environ).get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):  # Linux's abstract namespace
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.setblocking(False)
        try:
            channel.connect(address)
            channel.send(state.encode())
        except OSError:
            pass  # a manager that is gone or busy is no reason to fail
