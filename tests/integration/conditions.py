"""Real servers under a condition that must not change an answer."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.integration.servers import HOST, MailServer
from tests.support.conditions import Condition
from tests.support.mailclients import ImapClient
from tests.support.seaweedfs import SeaweedFS
from tests.support.stack import MARIADB_S3, Stack, open_stack

# No mailbox is too small for one, and each is written at the first quiet moment.
_SNAPSHOTS = {"snapshot_messages": 1, "snapshot_seconds": 1}
_WRITTEN_SECONDS = 30.0
_SHARED = ("database", "storage", "s3", "tls", "limits")


class Servers:
    """One server, or two on one store: the first has the IMAP clients then, the second POP3 and what is delivered."""

    def __init__(self, condition: Condition, stack: Stack, second: MailServer) -> None:
        first = stack.server
        self._condition = condition
        self._stack = stack
        self.tls = first.tls
        self.imap, self.imaps = first.imap, first.imaps
        self.pop3, self.pop3s = second.pop3, second.pop3s
        self.account = first.account
        self.deliver = second.deliver

    def settle(self, address: str) -> None:
        """Have the INBOX of an account, whose password is `secret`, be under the condition from now on."""
        if self._condition.indexes is None:
            return
        written = self._written()
        with ImapClient(HOST, self.imap) as client:
            client.expect(f"LOGIN {address} secret".encode())
            client.expect(b"SELECT INBOX")
            until = time.monotonic() + _WRITTEN_SECONDS
            while self._written() == written:
                assert time.monotonic() < until, "no snapshot is written"
                time.sleep(0.1)
        if self._condition.spoil is not None:
            assert self._stack.rewrite("indexes", self._condition.spoil)

    def _written(self) -> int:
        ((count,),) = self._stack.select("SELECT COUNT(*) FROM snapshots")
        return int(count)


@contextmanager
def open_servers(condition: Condition, s3: SeaweedFS) -> Iterator[Servers]:
    """Servers on MariaDB and S3 with the domain example.org. None of them may leave a traceback in its log."""
    with ExitStack() as stack:
        limits = {**condition.limits, **(_SNAPSHOTS if condition.indexes is not None else {})}
        opened = stack.enter_context(open_stack(MARIADB_S3, s3, users=(), sections={"limits": limits}))
        first = opened.server
        servers = [first]
        if condition.processes > 1:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lm-")))
            shared = {name: first.sections[name] for name in first.sections if name in _SHARED}
            servers.append(MailServer(directory, shared))
            stack.callback(servers[-1].kill)
        for server in servers:
            server.start()
        yield Servers(condition, opened, servers[-1])
        for server in servers:
            assert server.stop() == 0
            assert "Traceback" not in server.log(), server.log()[-5000:]
