"""What clients list and search is the same to the octet under every condition, as the mailbox grows and shrinks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.corpus import message
from tests.support.conditions import DAMAGED_CHUNKS, STALE, WRITTEN_ALWAYS, Condition, open_site
from tests.support.mailclients import ImapClient
from tests.support.snapshotkit import lookups
from tests.support.transcript import Server

ADDRESS = "alice@example.org"
FIRST, LATER = 100, 80
# All of the corpus but its large attachments.
MAIL = [message(number) for number in range(2 * (FIRST + LATER)) if number % 5 != 3][: FIRST + LATER]
QUESTIONS = [
    b"FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)",
    b"UID FETCH 1:* (ENVELOPE)",
    b"UID FETCH 1:* (ENVELOPE BODYSTRUCTURE)",
    b"UID FETCH 1:* (RFC822.SIZE BODY.PEEK[HEADER.FIELDS (DATE FROM SUBJECT MESSAGE-ID)])",
    b"UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS.NOT (RECEIVED TO)])",
    b"UID FETCH 1:* (BODY.PEEK[HEADER] BODY.PEEK[1.MIME])",
    b"FETCH 3,5,9 (BODY.PEEK[TEXT])",
    b"UID SEARCH SUBJECT 7 FROM greta NOT DELETED",
    b"UID SEARCH SENTSINCE 2-Mar-2026 SENTBEFORE 3-Mar-2026",
    b"UID SEARCH HEADER MESSAGE-ID 12@corpus",
    b"UID SEARCH OR UNSEEN LARGER 400 TO someone",
]

RESULTS = ("hit", "damaged", "missing", "unavailable")
# How lookups of chunks end. A snapshot that is damaged leads to no chunk; one bit spoils one column of a chunk.
CHUNKS_MET = {
    WRITTEN_ALWAYS.name: {"hit"},
    STALE.name: {"hit"},
    DAMAGED_CHUNKS.name: {"hit", "damaged"},
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[list[bytes]]:
    """The story as a server tells it that reads rows, and keeps what it has read."""
    with open_site(Condition("as configured"), tmp_path_factory.mktemp("plain")) as site:
        return story(site)


def test_the_answers_are_the_same(condition: Condition, tmp_path: Path, told: list[list[bytes]]) -> None:
    before = {result: lookups(result, "chunk") for result in RESULTS}
    with open_site(condition, tmp_path) as site:
        found = story(site)
    met = {result for result in RESULTS if lookups(result, "chunk") > before[result]}
    assert met == CHUNKS_MET.get(condition.name, set())
    assert len(found) == len(told)
    for answers, right in zip(found, told, strict=True):
        assert answers == right


def story(server: Server) -> list[list[bytes]]:
    """What each session is told of a mailbox that fills, changes, and fills again; some come twice, as clients do."""
    server.add_account(ADDRESS, "secret")
    fill(server, MAIL[:FIRST])
    first = [ask(server) for _ in range(3)]
    change(server)
    second = [ask(server)]
    fill(server, MAIL[FIRST:])
    return [*first, *second, *(ask(server) for _ in range(3))]


def opened(server: Server) -> ImapClient:
    client = ImapClient("127.0.0.1", server.port)
    client.expect(f"LOGIN {ADDRESS} secret".encode())
    client.expect(b"SELECT INBOX")
    return client


def fill(server: Server, mail: list[bytes]) -> None:
    with opened(server) as client:
        for octets in mail:
            client.expect(b'APPEND INBOX (\\Seen) "02-Mar-2026 10:00:00 +0000"', octets)


def change(server: Server) -> None:
    with opened(server) as client:
        client.expect(b"STORE 1:50 -FLAGS (\\Seen)")
        client.expect(b"STORE 2:40 +FLAGS.SILENT (\\Deleted $Mine)")
        client.expect(b"UID EXPUNGE 2:30")


def ask(server: Server) -> list[bytes]:
    """The answers to QUESTIONS in a session of their own. Who first sees a message as recent is not among them."""
    answers = []
    with opened(server) as client:
        client.expect(b"NOOP")
        for question in QUESTIONS:
            client.expect(question)
            answers += [line.replace(b" \\Recent", b"").replace(b"\\Recent", b"") for line in client.untagged]
        client.expect(b"LOGOUT")
    return answers
