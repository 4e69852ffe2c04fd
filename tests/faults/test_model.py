"""Two servers on one store, several clients, and whatever goes wrong, against a model in plain Python (P1 to P3, P8).

Hypothesis makes up what happens: deliveries, IMAP and POP3 sessions, kills, faults of the database and of the object
store, while collectors and journals work in both servers. In the end everything acknowledged is there exactly once,
every client that obeyed its untagged responses has the server's state, and `lightmail verify --deep` finds nothing.
"""

from __future__ import annotations

import os
import poplib
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from tests.faults.mailmodel import MailModel, Outcome, message, number_in
from tests.integration.servers import HOST, MailServer
from tests.support.conditions import NO_CACHES
from tests.support.faultproxy import COMMIT, DOWN, GET, PUT, UP, Effect, Fault, FaultProxy
from tests.support.lmtpclient import LmtpClient
from tests.support.obedient import Answer, ObedientClient, Refused
from tests.support.snapshotting import flipped
from tests.support.stack import MARIADB_S3, Stack, open_stack

MAILBOXES = ("INBOX", "Archive", "Trash")
PASSWORD = "secret"
# An example takes about six seconds; LIGHTMAIL_MODEL_EXAMPLES=200 for a long evening.
EXAMPLES = int(os.environ.get("LIGHTMAIL_MODEL_EXAMPLES", "3"))
MANY_EXAMPLES = 40
STEPS = 40
CONVERGES_SECONDS = 20.0
SNAPSHOT_SECONDS = 3.0

# What may befall a connection to a store, once.
FAULTS = {
    "COMMIT is lost": ("database", Fault(UP, Effect.RESET, at=COMMIT, times=1)),
    "the answer to COMMIT is lost": ("database", Fault(DOWN, Effect.CLOSE, at=COMMIT, times=1)),
    "the database hangs up": ("database", Fault(DOWN, Effect.CLOSE, times=2)),
    "the database is cut in an answer": ("database", Fault(DOWN, Effect.RESET, after=20, times=1)),
    "a statement is cut": ("database", Fault(UP, Effect.RESET, after=100, times=1)),
    "the database is slow": ("database", Fault(DOWN, Effect.DELAY, seconds=0.05)),
    "a PUT is cut": ("objects", Fault(UP, Effect.RESET, after=500, at=PUT, times=1)),
    "the answer to a PUT is lost": ("objects", Fault(DOWN, Effect.CLOSE, at=PUT, times=1)),
    "the answer to a GET is cut": ("objects", Fault(DOWN, Effect.CLOSE, after=300, at=GET, times=1)),
    "the store is slow": ("objects", Fault(DOWN, Effect.DELAY, seconds=0.05)),
}

_serial = count(1)
_numbers = count(1)
_UID = re.compile(rb"UID (\d+)")


@dataclass
class Site:
    """Two servers on one store, behind proxies that they share."""

    servers: tuple[MailServer, MailServer]
    stack: Stack

    @property
    def proxies(self) -> dict[str, FaultProxy]:
        return self.stack.proxies


@pytest.fixture(scope="module")
def site(s3_server: Any) -> Iterator[Site]:
    # The second that a round takes here is what a minute is in production.
    hurry = {
        "garbage": {"idle_seconds": 1, "pause_seconds": 0, "undelete_days": 0},
        "journal": {"interval_seconds": 1},
        # An index is read anew whenever a session comes to a mailbox that no other one has open, from its snapshot.
        "limits": {**NO_CACHES, "snapshot_messages": 1, "snapshot_seconds": 1},
        "logging": {"level": "info"},
    }
    with ExitStack() as stack:
        first = stack.enter_context(open_stack(MARIADB_S3, s3_server, sections=hurry, proxied=True))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lm-")))
        shared = {name: first.server.sections[name] for name in ("database", "storage", "s3", *hurry)}
        second = MailServer(directory, shared)
        stack.callback(second.kill)
        first.server.start()
        second.start()
        yield Site((first.server, second), first)


class Mail(RuleBasedStateMachine):
    """One account on the site. ``site`` is set before a machine is made."""

    site: Site

    def __init__(self) -> None:
        super().__init__()
        self.address = f"user{next(_serial)}@example.org"
        self.site.servers[0].account(self.address, PASSWORD)
        self.model = MailModel()
        self.spoiled = False
        self.clients: dict[tuple[int, str], ObedientClient] = {}

    # --- deliveries ---

    @rule(server=st.integers(0, 1))
    def deliver(self, server: int) -> None:
        """A new message; what is not acknowledged must be sent again."""
        number = next(_numbers)
        if self._deliver(server, number):
            self._acknowledged(number)
        else:
            self.model.pending.append(number)

    @precondition(lambda self: self.model.pending)
    @rule(server=st.integers(0, 1))
    def send_again(self, server: int) -> None:
        """The sender's next attempt with what was not acknowledged."""
        number = self.model.pending.pop(0)
        if self._deliver(server, number):
            self._acknowledged(number)
        else:
            self.model.pending.append(number)

    @precondition(lambda self: self.model.delivered)
    @rule(server=st.integers(0, 1), which=st.integers(0, 9))
    def repeat(self, server: int, which: int) -> None:
        """A sender that did not hear the answer sends again what was acknowledged: no second copy."""
        self._deliver(server, self.model.delivered[which % len(self.model.delivered)])

    def _acknowledged(self, number: int) -> None:
        self.model.add("INBOX", number, Outcome.DONE)
        self.model.delivered.append(number)

    def _deliver(self, server: int, number: int) -> bool:
        with suppress(OSError), LmtpClient(HOST, self.site.servers[server].lmtp) as lmtp:
            (reply,) = lmtp.deliver("sender@example.net", [self.address], message(number))
            assert reply[:1] in (b"2", b"4"), f"a fault that passes was a permanent refusal: {reply!r}"
            return reply[:1] == b"2"
        return False

    # --- IMAP ---

    @rule(server=st.integers(0, 1), mailbox=st.sampled_from(MAILBOXES))
    def append(self, server: int, mailbox: str) -> None:
        number = next(_numbers)
        octets = message(number)
        outcome = self._do(
            server, "INBOX", lambda c: c.command(b"APPEND %b {%d+}\r\n%b" % (_b(mailbox), len(octets), octets))
        )
        self.model.add(mailbox, number, outcome)

    @rule(
        server=st.integers(0, 1),
        source=st.sampled_from(MAILBOXES),
        to=st.sampled_from(MAILBOXES),
        which=st.integers(0, 9),
    )
    def copy(self, server: int, source: str, to: str, which: int) -> None:
        self._transfer(server, source, which, to, b"UID COPY %d %b", moving=False)

    @rule(
        server=st.integers(0, 1),
        source=st.sampled_from(MAILBOXES),
        to=st.sampled_from(MAILBOXES),
        which=st.integers(0, 9),
    )
    def move(self, server: int, source: str, to: str, which: int) -> None:
        self._transfer(server, source, which, to, b"UID MOVE %d %b", moving=True)

    def _transfer(self, server: int, source: str, which: int, to: str, text: bytes, *, moving: bool) -> None:
        found = self._find(server, source, which)
        if found is None or (moving and source == to):
            return
        uid, number = found
        copied: list[bool] = []

        def transfer(client: ObedientClient) -> Answer:
            answer = client.command(text % (uid, _b(to)))
            copied.append(answer.says(b"[COPYUID "))
            return answer

        outcome = self._do(server, source, transfer)
        if outcome is Outcome.DONE and not copied[0]:
            return  # it was gone already
        self.model.add(to, number, outcome)
        if moving:
            self.model.remove(source, number, outcome)

    @rule(server=st.integers(0, 1), mailbox=st.sampled_from(MAILBOXES), which=st.integers(0, 9))
    def expunge(self, server: int, mailbox: str, which: int) -> None:
        found = self._find(server, mailbox, which)
        if found is None:
            return
        uid, number = found
        if (
            self._do(server, mailbox, lambda c: c.command(rb"UID STORE %d +FLAGS.SILENT (\Deleted)" % uid))
            is Outcome.DONE
        ):
            self.model.remove(mailbox, number, self._do(server, mailbox, lambda c: c.command(b"UID EXPUNGE %d" % uid)))

    @rule(
        server=st.integers(0, 1),
        mailbox=st.sampled_from(MAILBOXES),
        which=st.integers(0, 9),
        change=st.sampled_from([rb"+FLAGS (\Seen)", rb"-FLAGS (\Seen)", rb"+FLAGS ($Junk Mine)", rb"FLAGS (\Flagged)"]),
    )
    def store(self, server: int, mailbox: str, which: int, change: bytes) -> None:
        found = self._find(server, mailbox, which)
        if found is not None:
            self._do(server, mailbox, lambda c: c.command(b"UID STORE %d %b" % (found[0], change)))

    @rule(server=st.integers(0, 1), mailbox=st.sampled_from(MAILBOXES), which=st.integers(0, 9))
    def read(self, server: int, mailbox: str, which: int) -> None:
        """A body is what was sent, octet for octet, behind the fields that delivery puts in front."""
        found = self._find(server, mailbox, which)
        if found is None:
            return
        uid, number = found
        bodies: list[bytes] = []

        def fetch(client: ObedientClient) -> Answer:
            answer = client.command(b"UID FETCH %d (BODY.PEEK[])" % uid)
            bodies.extend(answer.literals)
            return answer

        if self._do(server, mailbox, fetch) is Outcome.DONE and bodies:
            assert bodies[0].endswith(message(number))

    @rule(server=st.integers(0, 1), mailbox=st.sampled_from(MAILBOXES))
    def look(self, server: int, mailbox: str) -> None:
        self._do(server, mailbox, lambda c: c.command(b"NOOP"))

    def _find(self, server: int, mailbox: str, which: int) -> tuple[int, int] | None:
        """The UID and the number of one of the messages that a client knows of."""
        found: list[tuple[int, int]] = []

        def fetch(client: ObedientClient) -> Answer:
            answer = client.command(b"NOOP")  # what POP3 took is no longer there
            if not client.messages or not answer.ok:
                return answer
            position = which % len(client.messages)
            answer = client.command(
                b"FETCH %d (UID BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])" % (position + 1), numbers_hold=True
            )
            uid = client.messages[position][0]
            if answer.ok and answer.literals and uid is not None:
                found.append((uid, number_in(answer.literals[0])))
            return answer

        self._do(server, mailbox, fetch)
        return found[0] if found else None

    def _do(self, server: int, mailbox: str, act: Callable[[ObedientClient], Answer]) -> Outcome:
        """Do something in this server's session on that mailbox; what is known of it."""
        client = self._client(server, mailbox)
        if client is None:
            return Outcome.REFUSED
        try:
            answer = act(client)
        except (OSError, EOFError):
            self._hang_up(server, mailbox)
            return Outcome.UNKNOWN
        if answer.ok:
            return Outcome.DONE
        assert b"[UNAVAILABLE]" in answer.tagged or b"[EXPUNGEISSUED]" in answer.tagged, answer.tagged
        return Outcome.UNKNOWN

    def _client(self, server: int, mailbox: str) -> ObedientClient | None:
        """This server's session on that mailbox; None where none can be had now, which is no matter of credentials."""
        if (server, mailbox) not in self.clients:
            try:
                self.clients[server, mailbox] = ObedientClient(
                    self.site.servers[server].imap, self.address, PASSWORD, _b(mailbox)
                )
            except Refused as refused:
                if b"[UNAVAILABLE]" not in refused.tagged:
                    raise
                return None
            except (OSError, EOFError):
                return None
        return self.clients[server, mailbox]

    def _hang_up(self, server: int, mailbox: str) -> None:
        client = self.clients.pop((server, mailbox), None)
        if client is not None:
            client.close()

    # --- POP3 ---

    @rule(server=st.integers(0, 1), quitting=st.booleans())
    def take(self, server: int, quitting: bool) -> None:
        """A POP3 client reads the first message and deletes it, which counts if it says QUIT and hears the answer."""
        number: int | None = None
        outcome = Outcome.REFUSED
        try:
            pop = poplib.POP3(HOST, self.site.servers[server].pop3, timeout=60)
            try:
                pop.user(self.address)
                pop.pass_(PASSWORD)
                if pop.stat()[0] > 0:
                    number = number_in(b"\n".join(pop.top(1, 0)[1]))
                    pop.dele(1)
                    if quitting:
                        outcome = Outcome.UNKNOWN
                        pop.quit()
                        outcome = Outcome.DONE
            finally:
                pop.close()
        except poplib.error_proto as error:
            if not re.search(r"SYS/TEMP|IN-USE|EOF", str(error)):
                raise
        except (OSError, EOFError):
            pass
        if number is not None:
            self.model.remove("INBOX", number, outcome)

    # --- trouble ---

    @rule(server=st.integers(0, 1))
    def kill(self, server: int) -> None:
        self.site.servers[server].kill()
        for number, mailbox in list(self.clients):
            if number == server:
                self._hang_up(number, mailbox)
        self._heal()
        self.site.servers[server].start()

    @rule(name=st.sampled_from(sorted(FAULTS)))
    def fault(self, name: str) -> None:
        store, fault = FAULTS[name]
        self.site.proxies[store].meet(fault)

    @rule(store=st.sampled_from(["database", "objects"]))
    def outage(self, store: str) -> None:
        self.site.proxies[store].refuse()

    @rule()
    def leave_alone(self) -> None:
        """Nobody does anything until snapshots are written; where one has been written just now, for a while only."""
        until = time.monotonic() + SNAPSHOT_SECONDS
        while time.monotonic() < until and any(map(_snapshots_due, self.site.servers)):
            time.sleep(0.1)

    @rule(lost=st.booleans(), at=st.floats(0, 1))
    def spoil(self, lost: bool, at: float) -> None:
        """All snapshots of indexes are lost, or a bit of each is flipped somewhere: that costs time only."""
        self.spoiled = True
        self.site.stack.rewrite("indexes", lambda octets: None if lost else flipped(octets, at))

    @rule()
    def heal(self) -> None:
        self._heal()

    def _heal(self) -> None:
        for proxy in self.site.proxies.values():
            proxy.heal()

    # --- the end ---

    def teardown(self) -> None:
        self._heal()
        try:
            self._deliver_the_rest()
            self._have_a_snapshot()
            for mailbox in MAILBOXES:
                self._check(mailbox)
            if self.spoiled:
                self._drop_what_was_spoiled()
            done = self.site.servers[0].cli("verify", "--deep", "--account", self.address, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
        finally:
            for server, mailbox in list(self.clients):
                self._hang_up(server, mailbox)

    def _drop_what_was_spoiled(self) -> None:
        """Drop snapshots that were lost or flipped, and not written anew since; there is nothing else to mend."""
        done = self.site.servers[0].cli("verify", "--deep", "--repair", "--account", self.address, check=False)
        found = re.findall(r"^([a-z-]+) account=", done.stdout, re.MULTILINE)
        assert set(found) <= {"snapshot-unusable"}, done.stdout + done.stderr

    def _deliver_the_rest(self) -> None:
        """Everything that was not acknowledged is sent until it is, as Postfix does."""
        until = time.monotonic() + CONVERGES_SECONDS
        while self.model.pending:
            self.send_again(0)
            assert time.monotonic() < until, f"deliveries fail {CONVERGES_SECONDS:g} s after the last fault ended"

    def _have_a_snapshot(self) -> None:
        """Have INBOX open until it has a snapshot, so that there is one in every example for the last looks to use."""
        written = (
            "SELECT COUNT(*) FROM snapshots WHERE account ="  # noqa: S608
            f" (SELECT id FROM accounts WHERE address = '{self.address}')"
        )
        until = time.monotonic() + CONVERGES_SECONDS
        client = ObedientClient(self.site.servers[0].imap, self.address, PASSWORD, b"INBOX")
        try:
            while client.messages and self.site.stack.select(written) == [(0,)]:
                assert time.monotonic() < until, "no snapshot is written"
                client.must(b"NOOP")
                time.sleep(0.1)
        finally:
            client.close()

    def _check(self, mailbox: str) -> None:
        """The mailbox holds what was acknowledged, and every client on it comes to believe just that."""
        until = time.monotonic() + CONVERGES_SECONDS
        watching = [key for key in self.clients if key[1] == mailbox]
        while True:
            truth, found = self._truth(mailbox)
            late = [key for key in watching if not self._agrees(key, truth)]
            if not late:
                break
            assert time.monotonic() < until, f"clients {late} do not have the server's state"
            time.sleep(0.2)
        self.model.settle(mailbox, found)

    def _truth(self, mailbox: str) -> tuple[list[tuple[int | None, frozenset[bytes] | None]], Counter[int]]:
        """What a client that comes now is told: UIDs and flags, and the numbers of the messages."""
        client = ObedientClient(self.site.servers[1].imap, self.address, PASSWORD, _b(mailbox))
        try:
            answer = client.must(b"UID FETCH 1:* (UID FLAGS BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")
            uids = [uid for uid, _ in client.messages]
            assert len(set(uids)) == len(uids)
            return client.messages, Counter(map(number_in, answer.literals))
        finally:
            client.close()

    def _agrees(self, key: tuple[int, str], truth: list[tuple[int | None, frozenset[bytes] | None]]) -> bool:
        """Whether a client has come to the truth, or has lost its session and need not."""
        self._do(*key, lambda client: client.command(b"NOOP"))
        client = self.clients.get(key)
        return client is None or client.agrees_with(truth)


def _b(text: str) -> bytes:
    return text.encode()


def _snapshots_due(server: MailServer) -> bool:
    """Whether a server has snapshots to write."""
    page = server.get("/metrics")[1].decode()
    return not re.search(r"^lightmail_snapshots_due 0.0$", page, re.MULTILINE)


def _run(site: Site, examples: int) -> None:
    Mail.site = site
    run_state_machine_as_test(
        Mail,
        # Without shrinking: what the clock had a hand in does not come again the same way.
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            suppress_health_check=list(HealthCheck),
            print_blob=False,
            database=None,
        ),
    )


@pytest.mark.mariadb
@pytest.mark.s3
def test_nothing_acknowledged_is_lost_or_doubled(site: Site) -> None:
    _run(site, EXAMPLES)


@pytest.mark.heavy
@pytest.mark.mariadb
@pytest.mark.s3
def test_nothing_acknowledged_is_lost_or_doubled_for_long(site: Site) -> None:
    _run(site, MANY_EXAMPLES)
