"""A real clamd from Debian's package, with a small signature database of its own: no freshclam, no network.

It starts within a tenth of a second, on a Unix socket and on a loopback port, and is stopped by whoever started it.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lightmail.config import ClamavConfig
from tests.support.seaweedfs import free_ports

START_SECONDS = 20

# The file that every scanner finds (https://www.eicar.org), in two pieces so that none finds it here.
EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
EICAR_NAME = "Eicar-Test-Signature.UNOFFICIAL"
# Ours: what it is found by is a line of text.
MARKED = b"lightmail-marked-as-a-virus"
MARKED_NAME = "LightMail.Marked.UNOFFICIAL"


def program() -> str | None:
    """Where clamd is."""
    return shutil.which("clamd", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))


@dataclass
class Clamd:
    """One daemon in a directory of its own. `stop` and `start` keep its addresses: an outage to test against."""

    directory: Path
    stream_max_octets: int = 25 << 20
    file_max_octets: int = 25 << 20
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.port = free_ports(1)[0]
        database = self.directory / "signatures"
        database.mkdir()
        signatures = ((EICAR_NAME, EICAR), (MARKED_NAME, MARKED))
        (database / "test.ndb").write_text(
            "".join(f"{name.removesuffix('.UNOFFICIAL')}:0:*:{octets.hex()}\n" for name, octets in signatures)
        )
        (self.directory / "clamd.conf").write_text(
            f"LocalSocket {self.path}\nTCPSocket {self.port}\nTCPAddr 127.0.0.1\nDatabaseDirectory {database}\n"
            f"StreamMaxLength {self.stream_max_octets}\nMaxFileSize {self.file_max_octets}\nMaxScanSize 400M\n"
            "Foreground yes\nSelfCheck 0\nMaxThreads 4\nFixStaleSocket yes\n"
            f"LogFile {self.directory / 'log'}\nTemporaryDirectory {self.directory}\n"
        )

    @property
    def path(self) -> str:
        """Its Unix socket."""
        return str(self.directory / "ctl")

    @property
    def address(self) -> str:
        """Its TCP port, as [clamav] address names it."""
        return f"127.0.0.1:{self.port}"

    def config(self, **changes: Any) -> ClamavConfig:
        """The [clamav] section that leads to it."""
        return ClamavConfig(**{"enabled": True, "address": self.path, "timeout_ms": 20_000, **changes})

    def start(self) -> None:
        """Start it, and wait until it answers."""
        found = program()
        assert found is not None
        self.process = subprocess.Popen(
            [found, "-c", str(self.directory / "clamd.conf")],
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > until:
                log = self.directory / "log"
                text = log.read_text(errors="replace") if log.exists() else "no log"
                self.stop()
                raise RuntimeError(f"clamd did not start: {text[-2000:]}")
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(1)
                probe.connect(self.path)
                probe.sendall(b"zPING\0")
                return probe.recv(16) == b"PONG\0"
        except OSError:
            return False

    @contextmanager
    def halted(self) -> Iterator[None]:
        """It takes in connections and does nothing, as if its machine swapped."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def cpu_seconds(self) -> float:
        """The CPU that it has used since it started."""
        assert self.process is not None
        used = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(used[11]) + int(used[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """Kill it; it has nothing to keep."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()


@contextmanager
def running(**changes: Any) -> Iterator[Clamd]:
    """A daemon that is stopped, and gone with all it held, at the end."""
    if program() is None:
        pytest.skip("no clamd: install Debian's clamav-daemon")
    directory = Path(tempfile.mkdtemp(prefix="clamd-"))  # short: it holds a Unix socket
    daemon = Clamd(directory, **changes)
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def clamd() -> Iterator[Clamd]:
    """The session's daemon. A test that stops it must start it again."""
    with running() as daemon:
        yield daemon
