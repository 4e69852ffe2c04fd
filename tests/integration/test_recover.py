"""A server is killed, its database lost, and everything comes back from its bucket: what a mail client sees says so."""

from __future__ import annotations

import imaplib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.servers import HOST, MailServer, mysql_section, s3_section
from tests.support import mariadb
from tests.support.seaweedfs import SeaweedFS

USER = "ada@example.org"


def message(number: int) -> bytes:
    return f"Message-ID: <{number}@recover>\r\nSubject: message {number}\r\n\r\nbody {number}\r\n".encode()


def lose_sqlite(server: MailServer) -> None:
    for path in (server.directory / "data").glob("lightmail.sqlite*"):
        path.unlink()


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=[pytest.mark.mariadb, pytest.mark.s3])])
def server(request: pytest.FixtureRequest, place: Path) -> Iterator[tuple[MailServer, object]]:
    """A server that journals every second, and what loses its database."""
    journal: dict[str, dict[str, object]] = {"journal": {"interval_seconds": 1}}
    if request.param == "sqlite":
        made = MailServer(place, journal)
        yield made, lambda: lose_sqlite(made)
        made.kill()
        return
    if not mariadb.available():
        pytest.skip("no MariaDB: install Debian's mariadb-server")
    s3: SeaweedFS = request.getfixturevalue("s3_server")
    database = mariadb.server().fresh_database()
    s3.make_bucket(database.replace("_", "-"))
    sections = {
        **journal,
        "database": mysql_section(mariadb.server().config(database)),
        "storage": {"driver": "s3"},
        "s3": s3_section(s3, database.replace("_", "-")),
    }
    made = MailServer(place, sections)

    def lose() -> None:
        mariadb.server().drop(database)
        with mariadb.server().connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {database}")

    yield made, lose
    made.kill()
    mariadb.server().drop(database)


def seen(server: MailServer) -> dict[str, object]:
    """What a client sees of every mailbox: subjects with their flags; and the subscriptions."""
    found: dict[str, object] = {}
    with imaplib.IMAP4(HOST, server.imap, timeout=30) as client:
        client.login(USER, "secret")
        names = [line.decode().rpartition('"/" ')[2].strip('"') for line in client.list()[1] if line]
        found["subscribed"] = sorted(
            line.decode().rpartition('"/" ')[2].strip('"') for line in client.lsub()[1] if line
        )
        for name in names:
            client.select(f'"{name}"', readonly=True)
            _, data = client.uid("FETCH", "1:*", "(FLAGS BODY.PEEK[])")
            texts = [(item[1][item[1].index(b"Message-ID") :], item[0]) for item in data if isinstance(item, tuple)]
            found[name] = sorted(
                (text, sorted(set(imaplib.ParseFlags(start)) - {b"\\Recent"})) for text, start in texts
            )
    return found


def metric(server: MailServer, name: str) -> float:
    lines = server.get("/metrics")[1].decode().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(name + " ")))


def wait_until_level(server: MailServer) -> None:
    """Wait until a round of the journal has begun after this moment, and ended."""
    count = "lightmail_database_seconds_count"
    needed = _rounds(server, count) + 2
    deadline = time.monotonic() + 30
    while _rounds(server, count) < needed:
        assert time.monotonic() < deadline, server.log()[-3000:]
        time.sleep(0.05)


def _rounds(server: MailServer, name: str) -> float:
    lines = server.get("/metrics")[1].decode().splitlines()
    return next((float(line.split()[-1]) for line in lines if line.startswith(name + '{name="journal changed"}')), 0.0)


def test_a_lost_database_comes_back(server: tuple[MailServer, object]) -> None:
    running, lose = server
    running.cli("migrate")
    running.cli("domain", "add", "example.org")
    running.account(USER, "secret", "--quota", "1G")
    running.cli("alias", "add", "all@example.org", USER)
    running.start()
    for number in range(6):
        running.deliver(USER, message(number))
    with imaplib.IMAP4(HOST, running.imap, timeout=30) as client:
        client.login(USER, "secret")
        client.create("Projects/Boat")
        client.subscribe("Projects/Boat")
        client.select("INBOX")
        client.store("1:2", "+FLAGS", "(\\Seen Urgent)")
        client.copy("2", "Projects/Boat")
        client.uid("MOVE", "3", "Archive")
        client.store("1", "+FLAGS", "\\Deleted")
        client.expunge()
    wait_until_level(running)
    before = seen(running)
    assert metric(running, "lightmail_journal_octets_total") > 0
    running.deliver("all@example.org", message(99))
    before["INBOX"] = sorted([*before["INBOX"], (message(99), [])])  # type: ignore[misc]
    running.kill()
    assert callable(lose)
    lose()
    running.cli("migrate")
    rehearsed = json.loads(running.cli("recover", "--dry-run", "--json").stdout)
    report = json.loads(running.cli("recover", "--json").stdout)
    assert rehearsed["examined"] == report["examined"] == 7
    assert report["rebuilt"]["messages"] == 7  # six in INBOX and Archive, less one expunged, the copy, the last one
    assert report["rebuilt"]["expunged"] == 1
    assert report["rebuilt"]["arrivals"] in (0, 1)
    again = running.cli("recover", check=False)
    assert again.returncode == 1
    assert "The database is not empty" in again.stderr
    running.start()
    assert seen(running) == before
    running.deliver("all@example.org", message(100))
    assert running.stop() == 0
    assert "Traceback" not in running.log(), running.log()[-5000:]
    assert "1.0G" in running.cli("account", "list").stdout or "1G" in running.cli("account", "list").stdout


def test_a_server_refuses_a_database_that_is_half_recovered(server: tuple[MailServer, object]) -> None:
    running, _ = server
    if running.sections["database"]["driver"] != "sqlite":
        pytest.skip("one of them says it all")
    running.cli("migrate")
    import sqlite3

    with sqlite3.connect(running.directory / "data" / "lightmail.sqlite") as rows:
        rows.execute("INSERT INTO job_progress (name, state, updated_at) VALUES (X'7265636f766572', '{}', 0)")
    process = running.launch()
    assert process.wait(30) == 1
    running.process = None
    assert "a recovery into this database is unfinished" in running.log()
    assert "was interrupted" in running.cli("recover", check=False).stderr
