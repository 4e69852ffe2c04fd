"""A real server with a real clamd: turned on by a reload, asked by its operator, and behind a real Postfix."""

from __future__ import annotations

import imaplib
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration import postfix
from tests.integration.postfix import Postfix
from tests.integration.servers import HOST, MailServer, mysql_section, s3_section
from tests.support import mariadb
from tests.support.clamd import EICAR_NAME, MARKED_NAME, Clamd
from tests.support.infected import CLEAN, INFECTED, MARKED_LETTER
from tests.support.seaweedfs import SeaweedFS

INFECTED_ZIP = INFECTED["zip"][0]


def inbox(server: MailServer, address: str) -> list[bytes]:
    client = imaplib.IMAP4(HOST, server.imap, timeout=30)
    client.login(address, "secret")
    client.select("INBOX", readonly=True)
    numbers = client.search(None, "ALL")[1][0].split()
    found = [client.fetch(number.decode(), "(BODY.PEEK[])")[1][0][1] for number in numbers]
    client.logout()
    return found  # type: ignore[return-value]


def reload(server: MailServer, clamd: Clamd, **keys: object) -> None:
    """Turn scanning on, with these keys, in the running server."""
    server.sections["clamav"] = {"enabled": "true", "address": clamd.address, **keys}
    server.write_config()
    assert server.process is not None
    before = server.log().count("app.reloading reloaded")
    server.process.send_signal(signal.SIGHUP)
    until = time.monotonic() + 20
    while server.log().count("app.reloading reloaded") == before:
        assert time.monotonic() < until, server.log()[-2000:]
        time.sleep(0.02)


def test_an_operator_turns_it_on_and_brings_back_what_was_withheld_by_mistake(tmp_path: Path, clamd: Clamd) -> None:
    server = MailServer(tmp_path)
    server.populate("ada@example.org")
    server.start()
    try:
        server.deliver("ada@example.org", INFECTED_ZIP)
        reload(server, clamd)
        assert "[clamav] enabled = true from now on; it was false" in server.log()
        server.deliver("ada@example.org", MARKED_LETTER)
        server.deliver("ada@example.org", CLEAN)
        unscanned, clean = inbox(server, "ada@example.org")
        assert b"X-Virus-Status" not in unscanned
        assert b"X-Virus-Status: Clean\r\n" in clean
        (found,) = json.loads(server.cli("message", "list", "--withheld", "ada@example.org", "--json").stdout)
        assert (found["subject"], found["withheld"]) == ("text", True)
        (line,) = [line for line in server.log().splitlines() if "withheld from" in line]
        assert "<sender@example.net> to <ada@example.org>: a virus was found in it; UID 2 in mailbox" in line
        assert f"virus {MARKED_NAME} found in a message of {len(MARKED_LETTER)} octets" in server.log()
        server.cli("message", "restore", str(found["id"]))
        assert f"X-Virus-Status: Infected ({MARKED_NAME})\r\n".encode() in inbox(server, "ada@example.org")[-1]
        page = server.get("/metrics")[1].decode()
        assert 'lightmail_scans_total{result="infected"} 1.0' in page
        assert 'emails_received_total{result="withheld"} 1.0' in page
        assert "lightmail_scan_seconds_count 2.0" in page
        assert server.stop() == 0
        assert "Traceback" not in server.log()
    finally:
        server.kill()


@pytest.fixture
def site(place: Path, s3_server: SeaweedFS, clamd: Clamd) -> Iterator[tuple[MailServer, Postfix]]:
    why = postfix.missing()
    if why is not None:
        pytest.skip(why)
    if not mariadb.available():
        pytest.skip("no MariaDB: install Debian's mariadb-server")
    database = mariadb.server().fresh_database()
    server = MailServer(
        place,
        {
            "database": mysql_section(mariadb.server().config(database)),
            "storage": {"driver": "s3"},
            "s3": s3_section(s3_server),
            "clamav": {"enabled": "true", "address": clamd.path},
        },
    )
    server.populate("ada@example.org", "ben@example.org", "sender@example.org")
    server.start()
    relay = Postfix(place / "postfix", server.socket)
    relay.start()
    yield server, relay
    relay.stop()
    assert server.stop() == 0
    mariadb.server().drop(database)


@pytest.mark.heavy
def test_postfix_hands_a_virus_over_once_and_bounces_it_where_that_is_wanted(
    site: tuple[MailServer, Postfix], clamd: Clamd
) -> None:
    server, relay = site
    relay.send("sender@example.org", ["ada@example.org", "ben@example.org"], INFECTED_ZIP)
    relay.wait_for(r"to=<ada@example.org>.*dsn=2\.0\.0, status=sent \(250 2\.0\.0 Accepted, and withheld")
    relay.wait_for(r"to=<ben@example.org>.*dsn=2\.0\.0, status=sent")
    assert inbox(server, "ada@example.org") == inbox(server, "ben@example.org") == []
    reload(server, clamd, address=clamd.address, infected="reject")
    relay.send("sender@example.org", ["ada@example.org"], INFECTED["attachment"][0])
    relay.wait_for(rf"to=<ada@example.org>.*dsn=5\.7\.1, status=bounced.*{EICAR_NAME}")
    relay.wait_for(r"to=<sender@example.org>.*status=")
    reload(server, clamd, address=str(server.directory / "none"))
    relay.send("sender@example.org", ["ada@example.org"], CLEAN)
    relay.wait_for(r"to=<ada@example.org>.*dsn=4\.3\.0, status=deferred")
    reload(server, clamd)
    relay.flush()
    relay.wait_for(r"to=<ada@example.org>.*dsn=2\.0\.0, status=sent \(250 2\.0\.0 Delivered")
    (found,) = inbox(server, "ada@example.org")
    assert b"X-Virus-Status: Clean\r\n" in found
    assert f"good     scan: [clamav] address = {clamd.address}" in server.cli("doctor", check=False).stdout
    done = server.cli("verify", "--deep")
    assert done.returncode == 0, done.stdout
