"""Faults are met by whole servers, made as in the integration tests."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.servers import MailServer, mysql_section, s3_section
from tests.support import mariadb


@pytest.fixture(params=["embedded", "mariadb and s3"])
def server(request: pytest.FixtureRequest) -> Iterator[MailServer]:
    """A server that is not started yet, with the accounts ada@ and bob@example.org, whose passwords are `secret`."""
    directory = Path(tempfile.mkdtemp(prefix="lm-"))
    database = None
    sections: dict[str, dict[str, object]] = {}
    if request.param != "embedded":
        s3 = request.getfixturevalue("s3_server")
        if not mariadb.available():
            pytest.skip("no MariaDB: install Debian's mariadb-server")
        database = mariadb.server().fresh_database()
        sections = {
            "database": mysql_section(mariadb.server().config(database)),
            "storage": {"driver": "s3"},
            "s3": s3_section(s3),
        }
    made = MailServer(directory, sections)
    made.cli("migrate")
    made.cli("domain", "add", "example.org")
    for name in ("ada", "bob"):
        made.account(f"{name}@example.org")
    yield made
    made.kill()
    if database is not None:
        mariadb.server().drop(database)
    shutil.rmtree(directory, ignore_errors=True)
