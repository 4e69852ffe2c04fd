"""What becomes of deliveries that ClamAV's own daemon looks at: over LMTP, with whatever it says or does not say."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lightmail.config import ClamavConfig, LmtpConfig
from lightmail.metrics import REGISTRY
from lightmail.model import EVENT_KINDS, Fate
from lightmail.operations.mailboxes import delete
from lightmail.store import accounts
from tests.support import clamd as clamds
from tests.support.clamd import MARKED, MARKED_NAME, Clamd
from tests.support.infected import CLEAN, INFECTED, MARKED_LETTER, letter
from tests.support.lmtpclient import LmtpClient
from tests.support.mailroom import Mailroom
from tests.support.reactor import call, run
from tests.support.transcript import Connection
from tests.support.verifying import assert_clean

DELIVERED, WITHHELD = b"250 2.0.0 Delivered", b"250 2.0.0 Accepted, and withheld for a virus"
LATER = b"451 4.3.0 Temporarily unavailable, try again later."
FIELD = b"X-Virus-Status: "


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory, clamd: Clamd) -> Iterator[Mailroom]:
    with opened(Mailroom(tmp_path_factory.mktemp("room"), clamav=clamd.config())) as room:
        yield room


@contextmanager
def opened(room: Mailroom) -> Iterator[Mailroom]:
    room.open()
    try:
        yield room
    finally:
        room.close()


class People:
    """Accounts of a test's own, and how it delivers to them."""

    def __init__(self, room: Mailroom, name: str) -> None:
        self.room = room
        self._name = "".join(char if char.isalnum() else "-" for char in name)[-40:]

    def new(self, name: str = "ann", quota_octets: int = 0) -> str:
        """The address of a new account."""
        address = f"{name}.{self._name}@example.org".lower()
        self.room.add_account(address, "secret", quota_octets)
        return address

    def deliver(self, message: bytes, *recipients: str) -> list[bytes]:
        with LmtpClient("127.0.0.1", self.room.lmtp_port) as client:
            return client.deliver("sender@example.com", recipients, message)

    def scan(self, config: ClamavConfig) -> None:
        """Scan by this configuration from now on, as after a reload."""
        call(self.room.scanner.configure, config)

    def usage(self, address: str) -> tuple[int, int]:
        found = run(self.room.database.read("test", accounts.usage_txn, self.room.account(address).id))
        return found.octets, found.messages

    def rows(self, address: str) -> list[tuple[Any, ...]]:
        """The rows of an account's messages: UID, fate, whether they are deleted, whether they keep an object."""
        columns = "uid, fate, deleted_at > 0, object IS NOT NULL"
        sql = f"SELECT {columns} FROM messages WHERE account = %s ORDER BY mailbox, uid"  # noqa: S608
        return self._select(sql, self.room.account(address).id)

    def _select(self, sql: str, *params: Any) -> list[tuple[Any, ...]]:
        def read(cursor: Any) -> list[tuple[Any, ...]]:
            cursor.execute(sql, params)
            return [tuple(row) for row in cursor.fetchall()]

        return run(self.room.database.read("test", read))

    def events(self, address: str) -> list[dict[str, Any]]:
        """What a webhook is to be told of an account, in order."""
        found = self._select(
            "SELECT payload FROM webhook_queue WHERE account = %s ORDER BY id", self.room.account(address).id
        )
        return [json.loads(payload) for (payload,) in found]


@pytest.fixture
def people(room: Mailroom, clamd: Clamd, request: pytest.FixtureRequest) -> Iterator[People]:
    """Accounts in the module's room, which scans as it does by default when the test is over."""
    yield People(room, request.node.name)
    call(room.scanner.configure, clamd.config())
    call(room.lmtp_factory.configure, room.lmtp, room.limits)
    call(room.transactions.events.want, ())


def scans(result: str) -> float:
    return REGISTRY.get_sample_value("lightmail_scans_total", {"result": result}) or 0


def received(result: str) -> float:
    return REGISTRY.get_sample_value("emails_received_total", {"result": result}) or 0


# --- what is clean


def test_a_clean_message_says_so_behind_our_fields_and_is_otherwise_as_it_came(people: People) -> None:
    ann, before = people.new(), scans("clean")
    assert people.deliver(CLEAN, ann) == [DELIVERED]
    (stored,) = people.room.mail(ann)
    ours, field, rest = stored.partition(FIELD)
    assert (field + rest) == FIELD + b"Clean\r\n" + CLEAN
    assert ours.startswith(b"Return-Path: <sender@example.com>\r\nReceived: from ")
    assert ours.endswith(b"+0000\r\n")
    assert scans("clean") == before + 1
    assert people.usage(ann) == (len(stored), 1)


def test_what_a_sender_says_of_it_stays_below(people: People) -> None:
    ann = people.new()
    lying = b"X-Virus-Status: Clean (trust me)\r\n" + MARKED_LETTER
    assert people.deliver(lying, ann) == [WITHHELD]
    people.scan(ClamavConfig(enabled=False))
    bob = people.new("bob")
    assert people.deliver(lying, bob) == [DELIVERED]
    (stored,) = people.room.mail(bob)
    assert stored.endswith(b"+0000\r\n" + lying), "without a scan nothing is added"


# --- what is withheld


@pytest.mark.parametrize("way", INFECTED)
def test_what_has_a_virus_is_accepted_and_withheld(people: People, way: str) -> None:
    ann, message = people.new(), INFECTED[way][0]
    objects, before = len(people.room.objects()), (scans("infected"), received("withheld"))
    assert people.deliver(message, ann) == [WITHHELD]
    assert people.room.mail(ann) == []
    assert people.usage(ann) == (0, 0)
    assert people.rows(ann) == [(1, Fate.WITHHELD.value, 1, 1)]
    assert len(people.room.objects()) == objects + 1
    assert (scans("infected"), received("withheld")) == (before[0] + 1, before[1] + 1)
    # And what comes after it is not held up.
    assert people.deliver(CLEAN, ann) == [DELIVERED]
    assert people.rows(ann) == [(1, Fate.WITHHELD.value, 1, 1), (2, None, 0, 1)]
    assert people.usage(ann)[1] == 1


def test_one_that_was_withheld_is_recognized_when_it_comes_again(people: People) -> None:
    ann = people.new()
    assert people.deliver(MARKED_LETTER, ann) == [WITHHELD]
    assert people.deliver(MARKED_LETTER, ann) == [DELIVERED], "as of any other duplicate"
    assert len(people.rows(ann)) == 1


def test_a_full_account_is_no_reason_to_have_a_virus_come_again(people: People) -> None:
    ann = people.new(quota_octets=10)
    assert people.deliver(CLEAN, ann)[0].startswith(b"452 4.2.2 ")
    assert people.deliver(MARKED_LETTER, ann) == [WITHHELD]
    assert people.usage(ann) == (0, 0)


def test_several_recipients_share_one_object_that_is_withheld_from_each(people: People) -> None:
    ann, bob = people.new(), people.new("bob")
    objects = len(people.room.objects())
    assert people.deliver(MARKED_LETTER, ann, "nobody@example.org", bob) == [
        WITHHELD,
        b"550 5.1.1 No such user here.",
        WITHHELD,
    ]
    assert people.rows(ann) == people.rows(bob) == [(1, Fate.WITHHELD.value, 1, 1)]
    assert len(people.room.objects()) == objects + 1


def test_with_delivered_to_each_has_its_own(people: People) -> None:
    ann, bob = people.new(), people.new("bob")
    call(people.room.lmtp_factory.configure, LmtpConfig(delivered_to=True), people.room.limits)
    objects = len(people.room.objects())
    assert people.deliver(MARKED_LETTER, ann, bob) == [WITHHELD, WITHHELD]
    assert len(people.room.objects()) == objects + 2
    assert people.deliver(CLEAN, ann) == [DELIVERED]
    (stored,) = people.room.mail(ann)
    assert f"\r\nDelivered-To: {ann}\r\nReceived: ".encode() in stored
    assert b"+0000\r\nX-Virus-Status: Clean\r\nFrom: " in stored


def test_pop3_sees_nothing_of_it(people: People) -> None:
    ann = people.new()
    assert people.deliver(MARKED_LETTER, ann) == [WITHHELD]
    assert people.deliver(CLEAN, ann) == [DELIVERED]
    peer = Connection(people.room.pop3_port)
    try:
        said = []
        for line in (b"", b"USER " + ann.encode(), b"PASS secret", b"UIDL", b"STAT", b"QUIT"):
            if line:
                peer.send(line + b"\r\n")
            said.append(peer.line())
            if line == b"UIDL":
                said += [peer.line(), peer.line()]
        assert said[3].startswith(b"+OK")
        assert said[5] == b"."
        assert said[6].startswith(b"+OK 1 ")
    finally:
        peer.close()


# --- what is delivered, or refused, all the same


def test_junk_takes_it_where_there_is_such_a_mailbox(people: People, clamd: Clamd) -> None:
    ann, bob = people.new(), people.new("bob")
    run(delete(people.room.transactions, people.room.account(bob), "Junk"))
    people.scan(clamd.config(infected="junk"))
    assert people.deliver(MARKED_LETTER, ann, bob) == [DELIVERED, DELIVERED]
    assert people.room.mail(ann) == []
    for address, mailbox in ((ann, "Junk"), (bob, "INBOX")):
        (stored,) = people.room.mail(address, mailbox)
        assert stored.partition(FIELD)[2] == f"Infected ({MARKED_NAME})\r\n".encode() + MARKED_LETTER
        assert people.usage(address) == (len(stored), 1)


def test_a_refusal_tells_each_recipient_s_sender_and_stores_nothing(people: People, clamd: Clamd) -> None:
    ann, bob = people.new(), people.new("bob")
    people.scan(clamd.config(infected="reject"))
    objects, before = len(people.room.objects()), received("refused")
    reply = f"554 5.7.1 A virus was found in the message: {MARKED_NAME}.".encode()
    assert people.deliver(MARKED_LETTER, ann, bob) == [reply, reply]
    assert people.rows(ann) == people.rows(bob) == []
    assert len(people.room.objects()) == objects
    assert received("refused") == before + 2
    assert people.deliver(CLEAN, ann, bob) == [DELIVERED, DELIVERED]


def test_a_virus_that_was_not_known_yet_makes_no_bounce_of_a_message_that_came(people: People, clamd: Clamd) -> None:
    ann, bob = people.new(), people.new("bob")
    people.scan(clamd.config(enabled=False))
    assert people.deliver(MARKED_LETTER, ann) == [DELIVERED]
    people.scan(clamd.config(infected="reject"))
    again, refused = people.deliver(MARKED_LETTER, ann, bob)
    assert again == DELIVERED
    assert refused.startswith(b"554 5.7.1 ")
    assert len(people.room.mail(ann)) == 1
    nameless = MARKED_LETTER.replace(b"Message-ID", b"X-Message-ID")
    assert people.deliver(nameless, ann)[0].startswith(b"554 5.7.1 "), "nothing tells it from another"


# --- without a verdict


def test_without_a_scanner_mail_waits_or_is_delivered_as_configured(
    people: People, clamd: Clamd, tmp_path: Path
) -> None:
    ann, objects, before = people.new(), len(people.room.objects()), scans("failed")
    nobody = clamd.config(address=str(tmp_path / "none"))
    people.scan(nobody)
    assert people.deliver(MARKED_LETTER, ann) == [LATER]
    assert len(people.room.objects()) == objects
    assert people.rows(ann) == []
    people.scan(replace(nobody, unavailable="deliver"))
    assert people.deliver(MARKED_LETTER, ann) == [DELIVERED]
    (stored,) = people.room.mail(ann)
    assert stored.partition(FIELD)[2].startswith(b"Not scanned (the scanner is not available)\r\nFrom: ")
    assert scans("failed") == before + 2


def test_what_is_too_large_is_delivered_and_says_so(people: People, clamd: Clamd) -> None:
    ann, before = people.new(), scans("unscanned")
    people.scan(clamd.config(max_octets=len(MARKED_LETTER) - 1))
    assert people.deliver(MARKED_LETTER, ann) == [DELIVERED]
    (stored,) = people.room.mail(ann)
    assert stored.partition(FIELD)[2].startswith(b"Not scanned (too large for the scanner)\r\n")
    people.scan(clamd.config(max_octets=len(MARKED_LETTER)))
    assert people.deliver(letter("again", MARKED.decode()), ann) == [DELIVERED], "a longer subject"
    people.scan(clamd.config(max_octets=len(MARKED_LETTER) + 100))
    assert people.deliver(letter("more", MARKED.decode()), ann) == [WITHHELD]
    assert scans("unscanned") == before + 2


def test_a_daemon_that_takes_less_than_we_were_told_delays_nobody(people: People) -> None:
    ann = people.new()
    with clamds.running(stream_max_octets=100_000) as small:
        for number, address in enumerate((small.path, small.address)):
            people.scan(small.config(address=address))
            message = letter(f"long-{number}", "x" * 70 + "\n" + "word " * 100_000)
            assert people.deliver(message, ann) == [DELIVERED]
            assert people.room.mail(ann)[-1].partition(FIELD)[2].startswith(b"Not scanned (too large for the scanner)")
        assert people.deliver(MARKED_LETTER, ann) == [WITHHELD]


# --- off, and on, and off


def test_it_costs_nothing_where_it_is_off(tmp_path: Path) -> None:
    """No connection, no hand-off to a thread, and not a thread made; nothing in the message."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        config = ClamavConfig(enabled=False, address=f"127.0.0.1:{listener.getsockname()[1]}")
        with opened(Mailroom(tmp_path, clamav=config)) as room:
            handed: list[object] = []
            room.scanner._pool.run = lambda *args: handed.append(args)  # type: ignore[assignment,method-assign]
            people = People(room, "off")
            ann = people.new()
            assert people.deliver(MARKED_LETTER, ann) == [DELIVERED]
            (stored,) = room.mail(ann)
            assert FIELD not in stored
            assert handed == []
            assert room.scanner._pool._started == 0
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_reload_turns_it_off_and_on(people: People, clamd: Clamd) -> None:
    ann = people.new()
    with LmtpClient("127.0.0.1", people.room.lmtp_port) as client:
        said = []
        for number, enabled in enumerate((True, False, True)):
            people.scan(clamd.config(enabled=enabled))
            said += client.deliver("s@example.com", [ann], letter(f"reload-{number}", MARKED.decode()))
    assert said == [WITHHELD, DELIVERED, WITHHELD], "in the middle of a connection"


# --- events


def test_events_tell_of_each_virus_and_what_became_of_it(people: People, clamd: Clamd) -> None:
    told = {}
    for action in ("withhold", "junk", "reject"):
        address = people.new(action)
        people.scan(clamd.config(infected=action))
        call(people.room.transactions.events.want, EVENT_KINDS)
        people.deliver(MARKED_LETTER, address)
        call(people.room.transactions.events.want, ())
        told[action] = people.events(address)
        assert {event["account_id"] for event in told[action]} == {people.room.account(address).id}
    kinds = {action: sorted(event["event"] for event in events) for action, events in told.items()}
    assert kinds == {
        "withhold": ["virus.found"],
        "junk": ["message.delivered", "virus.found"],
        "reject": ["virus.found"],
    }
    for action, events in told.items():
        (found,) = [event for event in events if event["event"] == "virus.found"]
        assert (found["signature"], found["action"]) == (MARKED_NAME, action)
        assert found["sender"] == "sender@example.com"
        assert found["recipient"].startswith(f"{action}.")
        assert found["protocol"] == "lmtp"
        assert found["trace"]
        assert (found["object_key"] is None, found["uid"] is None, found["subject"] is None) == (
            action == "reject",
        ) * 3


def test_a_refusal_stands_when_nobody_can_be_told_of_it(people: People, clamd: Clamd) -> None:
    call(people.room.transactions.events.want, ("virus.found",))
    ann = people.new()
    people.scan(clamd.config(infected="reject"))
    call(setattr, people.room.transactions.events, "full", True)
    try:
        assert people.deliver(MARKED_LETTER, ann)[0].startswith(b"554 5.7.1 ")
    finally:
        call(setattr, people.room.transactions.events, "full", False)
    assert people.events(ann) == []


# --- many, and trouble


def test_fifty_at_once_with_two_threads(tmp_path: Path, clamd: Clamd) -> None:
    with opened(Mailroom(tmp_path, clamav=clamd.config(scans_at_once=2))) as room:
        people = People(room, "fifty")
        ann = people.new()
        messages = [letter(f"m{number}", MARKED.decode() if number % 2 else "clean") for number in range(50)]
        with ThreadPoolExecutor(50) as pool:
            said = [reply for (reply,) in pool.map(lambda message: people.deliver(message, ann), messages)]
        assert said == [WITHHELD if number % 2 else DELIVERED for number in range(50)]
        assert len(room.mail(ann)) == 25
        assert len(people.rows(ann)) == 50
        assert room.scanner._pool._started == 2
        assert room.scanner._pool._pending == 0
        assert room.spooled_octets() == 0
        assert_clean(room.transactions, room.store)


def test_a_daemon_that_stands_still_holds_mail_up_for_its_time_and_gives_all_back(people: People) -> None:
    ann = people.new()
    with clamds.running() as daemon:
        people.scan(daemon.config(timeout_ms=200))
        with daemon.halted(), ThreadPoolExecutor(10) as pool:
            began = time.monotonic()
            messages = [CLEAN + b"%d\r\n" % number + b"x" * 800_000 + b"\r\n" for number in range(10)]
            said = [reply for (reply,) in pool.map(lambda message: people.deliver(message, ann), messages)]
        assert said == [LATER] * 10
        assert time.monotonic() - began < 5
        assert people.room.spooled_octets() == 0
        assert people.deliver(CLEAN, ann) == [DELIVERED]


def test_a_daemon_that_is_killed_in_the_middle_of_a_scan_and_comes_back(people: People) -> None:
    ann = people.new()
    with clamds.running() as daemon:
        people.scan(daemon.config())
        with daemon.halted():
            replies: list[bytes] = []
            sending = threading.Thread(target=lambda: replies.extend(people.deliver(MARKED_LETTER, ann)))
            sending.start()
            until = time.monotonic() + 10
            while not call(lambda: people.room.scanner._pool._pending) and time.monotonic() < until:
                time.sleep(0.005)
            daemon.stop()
            sending.join(10)
            assert replies == [LATER]
            assert people.rows(ann) == []
            assert people.room.spooled_octets() == 0
            daemon.start()
        assert people.deliver(MARKED_LETTER, ann) == [WITHHELD]


def test_nothing_is_wrong_in_a_store_with_all_of_that(people: People) -> None:
    assert people._select("SELECT COUNT(*) FROM messages WHERE fate = 4")[0][0] > 0
    assert_clean(people.room.transactions, people.room.store)
