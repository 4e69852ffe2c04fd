"""A real Postfix of Debian's, apart from the system's: own configuration directory, own queue, loopback only."""

from __future__ import annotations

import os
import re
import shutil
import smtplib
import socket
import subprocess
import time
from pathlib import Path

from tests.support.seaweedfs import free_ports

_MAIN = """\
compatibility_level = 3.6
queue_directory = {root}/queue
data_directory = {root}/data
maillog_file = {root}/log/maillog
maillog_file_prefixes = {root}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = relay.example.net
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
local_recipient_maps =
smtpd_relay_restrictions = permit_mynetworks, reject
virtual_mailbox_domains = example.org
virtual_transport = lmtp:unix:{lmtp}
virtual_alias_maps =
# Mail for anywhere else goes nowhere: nothing leaves this host.
default_transport = error:no other domain
relay_transport = error:no other domain
# Deferred mail is tried again at once, for a test has no hours.
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 2s
lmtp_connect_timeout = 5s
"""

_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup    unix       n - n 60 1 pickup
cleanup   unix       n - n - 0 cleanup
qmgr      unix       n - n 300 1 qmgr
tlsmgr    unix       - - n 1000? 1 tlsmgr
rewrite   unix       - - n - - trivial-rewrite
bounce    unix       - - n - 0 bounce
defer     unix       - - n - 0 bounce
trace     unix       - - n - 0 bounce
verify    unix       - - n - 1 verify
flush     unix       n - n 1000? 0 flush
proxymap  unix       - - n - - proxymap
lmtp      unix       - - n - - lmtp
smtp      unix       - - n - - smtp
error     unix       - - n - - error
retry     unix       - - n - - error
showq     unix       n - n - - showq
anvil     unix       - - n - 1 anvil
scache    unix       - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""


def missing() -> str | None:
    """Why no Postfix of our own can be run here; None where it can."""
    if shutil.which("postfix", path=_path()) is None:
        return "no Postfix: install Debian's postfix"
    if os.geteuid() != 0:
        return "Postfix's master process must be started by root"
    return None


def _path() -> str:
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


class Postfix:
    """One instance that delivers all mail of example.org to the Unix socket `lmtp`."""

    def __init__(self, root: Path, lmtp: Path) -> None:
        self.root = root
        self.port = free_ports(1)[0]
        self._etc = root / "etc"
        for name in ("etc", "queue", "data", "log"):
            (root / name).mkdir(parents=True)
        shutil.chown(root / "data", "postfix")
        (self._etc / "main.cf").write_text(_MAIN.format(root=root, lmtp=lmtp))
        (self._etc / "master.cf").write_text(_MASTER.format(port=self.port))

    def start(self) -> None:
        """Start it and wait until it takes mail."""
        self._run("postfix", "start")
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"Postfix did not start: {self.log()[-2000:]}")

    def stop(self) -> None:
        """Stop its processes; the queue stays."""
        self._run("postfix", "stop")

    def send(self, sender: str, recipients: list[str], message: bytes) -> None:
        """Hand a message in over SMTP, as another host would."""
        with smtplib.SMTP("127.0.0.1", self.port, timeout=30) as smtp:
            smtp.sendmail(sender, recipients, message)

    def log(self) -> str:
        """What it has logged so far."""
        path = self.root / "log" / "maillog"
        return path.read_text(errors="replace") if path.exists() else ""

    def wait_for(self, pattern: str, seconds: float = 60) -> re.Match[str]:
        """Wait until its log has a line that matches."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = re.search(pattern, self.log(), re.MULTILINE)
            if found:
                return found
            time.sleep(0.1)
        raise AssertionError(f"no {pattern!r} in Postfix's log:\n{self.log()[-5000:]}")

    def queued(self) -> str:
        """The queue as `mailq` prints it."""
        return self._run("postqueue", "-p")

    def flush(self) -> None:
        """Try what is deferred again now."""
        self._run("postqueue", "-f")

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [program, "-c", str(self._etc), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={"PATH": _path(), "LC_ALL": "C"},
        )
        if done.returncode != 0:
            raise RuntimeError(f"{program} {arguments}: {done.stdout}{done.stderr}\n{self.log()[-2000:]}")
        return done.stdout
