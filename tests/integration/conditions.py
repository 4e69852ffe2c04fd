"""Real servers under a condition that must not change an answer."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.integration.servers import MailServer
from tests.support.conditions import Condition
from tests.support.seaweedfs import SeaweedFS
from tests.support.stack import MARIADB_S3, open_stack


class Servers:
    """One server, or two on one store: the first has the IMAP clients then, the second POP3 and what is delivered."""

    def __init__(self, first: MailServer, second: MailServer) -> None:
        self.tls = first.tls
        self.imap, self.imaps = first.imap, first.imaps
        self.pop3, self.pop3s = second.pop3, second.pop3s
        self.account = first.account
        self.deliver = second.deliver


@contextmanager
def open_servers(condition: Condition, s3: SeaweedFS) -> Iterator[Servers]:
    """Servers on MariaDB and S3 with the domain example.org. None of them may leave a traceback in its log."""
    with ExitStack() as stack:
        first = stack.enter_context(open_stack(MARIADB_S3, s3, users=(), sections=condition.sections())).server
        servers = [first]
        if condition.processes > 1:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lm-")))
            shared = {name: first.sections[name] for name in first.sections if name in _SHARED}
            servers.append(MailServer(directory, shared))
            stack.callback(servers[-1].kill)
        for server in servers:
            server.start()
        yield Servers(first, servers[-1])
        for server in servers:
            assert server.stop() == 0
            assert "Traceback" not in server.log(), server.log()[-5000:]


_SHARED = ("database", "storage", "s3", "tls", "limits")
