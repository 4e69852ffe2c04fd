"""Logins under attack: floods of guesses, and what an answer, its time or the work behind it tells of a name."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred, gatherResults

from lightmail.auth.lanes import Lanes
from lightmail.config import ImapConfig, Pop3Config
from lightmail.errors import Unavailable
from lightmail.operations.accounts import Change, change_account
from lightmail.operations.app_passwords import add_app_password
from tests.attacks.guessing import Flood, under_attack
from tests.integration.servers import MailServer
from tests.support.actors import OPERATOR
from tests.support.imapworld import ImapWorld
from tests.support.mailroom import Mailroom
from tests.support.reactor import run
from tests.support.stack import EMBEDDED, open_stack
from tests.support.transcript import Connection

ADA = "ada@example.org"
_sources = (f"127.0.0.{number}" for number in range(2, 255))


@pytest.fixture(scope="module")
def server() -> Iterator[MailServer]:
    # Nothing is remembered of a login that was right: each costs a hash.
    with open_stack(EMBEDDED, sections={"limits": {"verified_seconds": 0}}) as stack:
        stack.server.start()
        yield stack.server
        assert stack.server.stop() == 0


def resident(server: MailServer) -> int:
    assert server.process is not None
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(lambda number: ADA, id="of the same account"),
        pytest.param(lambda number: "bob@example.org", id="of another", marks=pytest.mark.heavy),
        pytest.param(lambda number: f"u{number}@example.org", id="of all names"),
    ],
)
def test_an_honest_user_logs_in_while_fifty_connections_guess(server: MailServer, name: Callable[[int], str]) -> None:
    before = resident(server)
    flood = Flood(server.imap, [next(_sources)], name)
    took = under_attack(flood, ADA, seconds=1.5)
    assert statistics.median(took) < 1, took
    assert flood.answers["NO [AUTHENTICATIONFAILED]"] > 3
    # Failures slow down: after the free ones, a few more in these seconds. Each could have been answered in 60 ms.
    assert flood.answers["NO [AUTHENTICATIONFAILED]"] < 80, flood.answers
    assert resident(server) - before < 100 << 20


@pytest.mark.heavy
def test_an_honest_user_logs_in_while_fifty_addresses_guess(server: MailServer) -> None:
    flood = Flood(server.imap, [f"127.0.1.{number}" for number in range(1, 51)], lambda number: ADA)
    # The first guess of each address is any login: only when they have failed do they wait among themselves.
    took = under_attack(flood, ADA, seconds=12, count=12, lead=8)
    print(f"median {statistics.median(took):.2f} s, longest {max(took):.2f} s, guesses {dict(flood.answers)}")
    assert statistics.median(took) < 2


def test_nobody_is_locked_out(server: MailServer) -> None:
    flood = Flood(server.imap, [next(_sources)], lambda number: ADA)
    under_attack(flood, "bob@example.org", seconds=0.5, count=1)
    client = Connection(server.imap)
    client.line()
    client.send(b"a LOGIN %b secret\r\n" % ADA.encode())
    assert client.line().startswith(b"a OK")
    client.close()


def test_work_of_one_host_waits_for_that_host_only() -> None:
    lanes = Lanes(2, 3)
    begun: list[str] = []
    doors: list[Deferred[None]] = []

    async def work(name: str) -> str:
        begun.append(name)
        doors.append(Deferred())
        await doors[-1]
        return name

    def begin(host: bytes | None, name: str) -> Deferred[str]:
        return Deferred.fromCoroutine(lanes.run(host, lambda: work(name)))

    async def scene() -> None:
        ends = [begin(b"a", f"a{number}") for number in range(5)]
        ends += [begin(b"b", "b"), begin(None, "trusted")]
        assert begun == ["a0", "a1", "b", "trusted"]
        with pytest.raises(Unavailable):
            await begin(b"a", "a5")
        given_up = ends.pop(3)
        given_up.addErrback(lambda failure: None)
        given_up.cancel()
        for door in doors:  # grows while it is gone through
            door.callback(None)
        assert sorted(await gatherResults(ends)) == ["a0", "a1", "a2", "a4", "b", "trusted"]
        assert begun[4:] == ["a2", "a4"]
        assert len(lanes) == 0

    run(scene())


# What tells names apart: nothing

NAMES = {"right": ADA, "unknown": "nobody@example.org", "inactive": "gone@example.org", "elsewhere": "x@example.com"}
PASSWORDS = {"wrong": b"guess", "empty": b'""', "long": b"x" * 1000, "of an app": b"abcde-fghij-kmnpq-rstuv"}


class Watched:
    """Counts statements by name, and what is handed to the hashing threads."""

    def __init__(self, world: ImapWorld | Mailroom) -> None:
        self.database = world.database
        self.pool = world._pools[1]
        self._handed = self.pool._hand_over
        self.hashes = 0
        self.pool._hand_over = self._count  # type: ignore[method-assign]

    def _count(self, work: object) -> None:
        self.hashes += 1
        self._handed(work)  # type: ignore[arg-type]

    def work(self) -> tuple[dict[str, int], int]:
        return dict(self.database.round_trips), self.hashes


def work_between(before: tuple[dict[str, int], int], after: tuple[dict[str, int], int]) -> tuple[dict[str, int], int]:
    trips = {name: count - before[0].get(name, 0) for name, count in after[0].items()}
    return {name: count for name, count in trips.items() if count}, after[1] - before[1]


@contextmanager
def opened(world: ImapWorld | Mailroom) -> Iterator[ImapWorld | Mailroom]:
    world.open()
    try:
        for name in ("right", "inactive"):
            world.add_account(NAMES[name], "secret")
        for name in ("right", "inactive"):
            owner = world.account(NAMES[name]).id
            run(add_app_password(world.transactions, OPERATOR, owner, "phone"))
        inactive = world.account(NAMES["inactive"]).id
        run(change_account(world.transactions, OPERATOR, inactive, Change(active=False)))
        yield world
    finally:
        world.close()


def imap_attempt(port: int, name: str, password: bytes) -> list[bytes]:
    client = Connection(port)
    client.line()
    client.send(b"a LOGIN %b %b\r\n" % (name.encode(), password))
    answer = [client.line()]
    client.close()
    return answer


def pop3_attempt(port: int, name: str, password: bytes) -> list[bytes]:
    client = Connection(port)
    client.line()
    client.send(b"USER %b\r\nPASS %b\r\n" % (name.encode(), password.strip(b'"')))
    answer = [client.line(), client.line()]
    client.close()
    return answer


@pytest.mark.parametrize("protocol", ["imap", "pop3"])
def test_names_are_answered_alike_after_the_same_work(tmp_path: Path, protocol: str) -> None:
    config = {"max_failed_attempts": 100}
    world: ImapWorld | Mailroom = (
        ImapWorld(tmp_path, config=ImapConfig(**config))
        if protocol == "imap"
        else Mailroom(tmp_path, pop3=Pop3Config(**config))
    )
    with opened(world) as made:
        port, attempt = (made.port, imap_attempt) if isinstance(made, ImapWorld) else (made.pop3_port, pop3_attempt)
        watched = Watched(made)
        seen = {}
        for password in PASSWORDS.values():
            for kind, name in NAMES.items():
                authenticator = made.services.authenticator if isinstance(made, ImapWorld) else made.authenticator
                authenticator._slowdown._addresses._records.clear()  # the waiting is tested elsewhere
                before = watched.work()
                answer = attempt(port, name, password)
                seen[kind, password] = (answer, work_between(before, watched.work()))
    for password in PASSWORDS.values():
        assert len({str(seen[kind, password]) for kind in NAMES}) == 1, seen
    for password in (b"guess", PASSWORDS["of an app"]):
        assert seen["unknown", password][1] == ({"login": 1}, 1)


def test_a_recipient_that_is_unknown_costs_what_a_known_one_costs(tmp_path: Path) -> None:
    """LMTP says who is unknown, for Postfix must know; it is not for the network. How long it takes says no more."""
    with opened(Mailroom(tmp_path)) as room:
        assert isinstance(room, Mailroom)
        watched = Watched(room)
        work = {}
        for kind, name in NAMES.items():
            peer = Connection(room.lmtp_port)
            peer.send(b"LHLO c\r\nMAIL FROM:<>\r\n")
            while not peer.line().startswith(b"250 2.1.0"):
                pass
            before = watched.work()
            peer.send(b"RCPT TO:<%b>\r\n" % name.encode())
            assert peer.line()[:3] == (b"450" if kind == "inactive" else b"250" if kind == "right" else b"550")
            work[kind] = work_between(before, watched.work())
            peer.close()
        assert work["unknown"] == work["right"] == work["inactive"]
