"""Undeletion as people do it: an operator with `lightmail undelete`, a user with a mail client."""

from __future__ import annotations

import imaplib
import json
import re
from collections.abc import Iterator

import pytest

from tests.integration.corpus import message
from tests.integration.servers import HOST, MailServer

COUNT = 4
PASSWORD = "secret"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    server = MailServer(tmp_path_factory.mktemp("undelete"), {"imap": {"deleted_tree": "true"}})
    server.cli("migrate")
    server.cli("domain", "add", "example.org")
    server.start()
    yield server
    assert server.stop() == 0
    assert "Traceback" not in server.log(), server.log()[-5000:]


@pytest.fixture
def filled(server: MailServer, request: pytest.FixtureRequest) -> str:
    """An account with a few messages in its INBOX."""
    address = f"{request.node.name.replace('_', '-')[5:45]}@example.org"
    server.account(address, PASSWORD)
    for number in range(COUNT):
        server.deliver(address, message(number))
    return address


def logged_in(server: MailServer, address: str) -> imaplib.IMAP4:
    client = imaplib.IMAP4(HOST, server.imap, timeout=30)
    client.login(address, PASSWORD)
    return client


def bodies(client: imaplib.IMAP4, mailbox: str) -> list[bytes]:
    """All messages of a mailbox, octet for octet."""
    status, _ = client.select(mailbox, readonly=True)
    assert status == "OK"
    _, found = client.fetch("1:*", "(BODY.PEEK[])")
    return [item[1] for item in found if isinstance(item, tuple)]


def dates(client: imaplib.IMAP4, mailbox: str) -> list[tuple[str, str]]:
    """INTERNALDATE and FLAGS of each message."""
    assert client.select(mailbox, readonly=True)[0] == "OK"
    _, found = client.fetch("1:*", "(INTERNALDATE FLAGS)")
    texts = [item.decode() for item in found if isinstance(item, bytes)]
    return [
        (
            re.search('INTERNALDATE "([^"]+)"', text)[1],
            re.search(r"FLAGS \(([^)]*)\)", text)[1].replace(" \\Recent", ""),
        )
        for text in texts
    ]


def lose(client: imaplib.IMAP4, mailbox: str, numbers: str) -> None:
    assert client.select(mailbox)[0] == "OK"
    client.store(numbers, "+FLAGS", r"(\Seen $Own \Deleted)")
    client.expunge()


def test_a_client_copies_messages_back(server: MailServer, filled: str) -> None:
    client = logged_in(server, filled)
    before, when = bodies(client, "INBOX"), [moment for moment, _ in dates(client, "INBOX")]
    lose(client, "INBOX", "1:3")
    assert bodies(client, "Deleted/INBOX") == before[:3], "FETCH, octet for octet"
    assert client.list('""', '"Deleted/*"')[1] == [b'(\\HasNoChildren) "/" Deleted/INBOX']
    assert not any(b"Deleted" in line for line in client.list()[1])
    assert client.search(None, "SUBJECT", '"number 1"')[1] == [b"2"]
    assert client.copy("1:2", "INBOX")[0] == "OK"
    assert client.copy("1", "INBOX")[0] == "NO"
    assert client.noop()[0] == "OK"
    assert client.search(None, "ALL")[1] == [b"1"]
    assert bodies(client, "INBOX") == [before[3], before[0], before[1]]
    assert [moment for moment, _ in dates(client, "INBOX")] == [when[3], when[0], when[1]]
    assert [flags.split() for _, flags in dates(client, "INBOX")[1:]] == [["\\Seen", "$Own"]] * 2
    client.logout()


def test_an_operator_restores_and_a_session_sees_it_at_once(server: MailServer, filled: str) -> None:
    client = logged_in(server, filled)
    before = bodies(client, "INBOX")
    lose(client, "INBOX", "1:*")
    listed = json.loads(server.cli("undelete", "list", filled, "--json").stdout)
    assert {found["subject"] for found in listed} == {f"number {number}" for number in range(COUNT)}
    assert {found["from"] for found in listed} == {"Gréta Example <greta@example.net>"}
    text = server.cli("undelete", "list", filled, "--sender", "GRÉTA", "--subject", "number 2", "--since", "1h").stdout
    heading, line = text.splitlines()
    assert heading.split() == ["ID", "DELETED", "OCTETS", "MAILBOX", "FROM", "SUBJECT"]
    assert "number 2" in line
    planned = server.cli("undelete", "restore", filled, "--subject", "NUMBER 2", "--dry-run").stdout
    assert planned.startswith("would restore 1 message of ")
    client.select("INBOX")
    done = server.cli("undelete", "restore", filled, line.split()[0])
    assert done.stdout == "restored 1 message into INBOX\n"
    assert client.noop()[0] == "OK"
    assert client.response("EXISTS")[1][-1] == b"1"
    assert bodies(client, "INBOX") == [before[2]]
    assert (
        server.cli("undelete", "restore", filled, "--all", "--into", "Found").stdout
        == "restored 3 messages into Found\n"
    )
    assert sorted(bodies(client, "Found")) == sorted(before[:2] + before[3:])
    client.logout()


def test_a_deleted_mailbox_and_a_deleted_account(server: MailServer, filled: str) -> None:
    client = logged_in(server, filled)
    client.create("Lists/twisted")
    client.select("INBOX")
    client.copy("1:2", "Lists/twisted")
    before = bodies(client, "Lists/twisted")
    client.close()
    client.delete("Lists/twisted")
    (found,) = json.loads(server.cli("undelete", "list", filled, "--deleted-mailboxes", "--json").stdout)
    assert (found["mailbox"], found["messages"]) == ("Lists/twisted", 2)
    restored = server.cli("undelete", "restore", filled, "--deleted-mailboxes", str(found["id"])).stdout
    assert restored == "restored 2 messages into Lists/twisted\n"
    assert bodies(client, "Lists/twisted") == before

    server.cli("account", "delete", filled, "--yes")
    # Its sessions end within seconds, and so would one that began before the server had come to that.
    while client.readline():
        pass
    client.shutdown()
    assert server.cli("account", "restore", filled).stdout == f"restored {filled} with {COUNT + 2} messages\n"
    client = logged_in(server, filled)
    assert bodies(client, "Lists/twisted") == before
    client.logout()


def test_over_quota_is_said_and_nothing_is_restored(server: MailServer, filled: str) -> None:
    client = logged_in(server, filled)
    lose(client, "INBOX", "1:*")
    server.cli("account", "set", filled, "--quota-messages", "3")
    refused = server.cli("undelete", "restore", filled, "--all", check=False)
    assert refused.returncode == 1
    assert "4 messages" in refused.stderr
    assert "Nothing was restored" in refused.stderr
    assert client.select("INBOX") == ("OK", [b"0"])
    client.logout()
