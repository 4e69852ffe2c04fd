"""Servers that the integration tests share. A test that needs its own makes a MailServer."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.integration.servers import MailServer, mysql_section, s3_section
from tests.support import mariadb
from tests.support.seaweedfs import SeaweedFS


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that other users can reach into: Postfix is not root where it connects to the socket."""
    directory = Path(tempfile.mkdtemp(prefix="lm-"))
    os.chmod(directory, 0o755)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A shell's background jobs ignore Ctrl-C, and so would what they start: what these tests interrupt must not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def production(s3_server: SeaweedFS) -> Iterator[MailServer]:
    """A server on MariaDB and S3, as in production, with the domain example.org."""
    if not mariadb.available():
        pytest.skip("no MariaDB: install Debian's mariadb-server")
    database = mariadb.server().fresh_database()
    directory = Path(tempfile.mkdtemp(prefix="lm-"))
    server = MailServer(
        directory,
        {
            "database": mysql_section(mariadb.server().config(database)),
            "storage": {"driver": "s3"},
            "s3": s3_section(s3_server),
        },
    )
    server.cli("migrate")
    server.cli("domain", "add", "example.org")
    server.start()
    yield server
    status, log = server.stop(), server.log()
    mariadb.server().drop(database)
    shutil.rmtree(directory, ignore_errors=True)
    assert status == 0
    assert "Traceback" not in log, log[-5000:]


_numbers = count(1)


@pytest.fixture
def account(production: MailServer) -> str:
    """A new account of the production server, its password is `secret`."""
    address = f"user{next(_numbers)}@example.org"
    production.account(address)
    return address


@pytest.fixture
def needs() -> Callable[[str, str], str]:
    """The path of a client's program; the test is skipped where it is not installed."""

    def find(program: str, package: str) -> str:
        path = shutil.which(program)
        if path is None:
            pytest.skip(f"no {program}: install Debian's {package}")
        return path

    return find
