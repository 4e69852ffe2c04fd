"""The fault matrix: every fault on each store in each phase of every operation, against one server that never restarts.

Printed is what each operation was answered and after how long (``pytest -s``); docs/reliability.md has the table.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial

import pytest

from tests.faults.operations import SENDER, WRITES, Crew, Deliver, Outcome, message
from tests.integration.servers import HOST
from tests.support import mariadb
from tests.support.faultproxy import COMMIT, DOWN, GET, PUT, UP, Direction, Effect, Fault
from tests.support.lmtpclient import LmtpClient
from tests.support.seaweedfs import SeaweedFS
from tests.support.stack import MARIADB_S3, Stack, open_stack

# No operation may take longer to answer, whatever is wrong: a silent database is waited for once for a statement, and
# once more to find out what became of a COMMIT.
DEADLINE_SECONDS = 75.0
RECOVERY_SECONDS = 10.0

SECTIONS = {"storage": {"cache_bytes": 0}, "limits": {"verified_seconds": 0}}


@pytest.fixture(scope="module")
def stack(s3_server: SeaweedFS) -> Iterator[Stack]:
    """A running server behind proxies."""
    if not mariadb.available():
        pytest.skip("no MariaDB: install Debian's mariadb-server")
    with open_stack(MARIADB_S3, s3_server, users=(), sections=SECTIONS, proxied=True) as made:
        made.server.start()
        yield made
        assert made.server.stop() == 0
        assert "Traceback" not in made.server.log(), made.server.log()[-5000:]


@pytest.fixture(scope="module")
def crew(stack: Stack) -> Iterator[Crew]:
    with closing(Crew(stack)) as made:
        yield made


@pytest.fixture(autouse=True)
def healed(stack: Stack) -> Iterator[None]:
    """A fault ends with its test."""
    yield
    for proxy in stack.proxies.values():
        proxy.heal()


def tell(fault: str, outcomes: list[Outcome], more: str = "") -> None:
    print(f"\nSEEN {fault}: {', '.join(map(str, outcomes))}{more}")
    assert max(outcome.seconds for outcome in outcomes) < DEADLINE_SECONDS


def recovered(crew: Crew, fault: str, outcomes: list[Outcome]) -> None:
    """The fault is over: the same process serves again, and what it answered holds."""
    seconds = crew.recover(RECOVERY_SECONDS)
    tell(fault, outcomes, f"; recovered after {seconds:.1f} s")
    crew.settle(outcomes)


# --- as long as it lasts, on every connection ---

QUICK = {
    "database: reset": ("database", Fault(UP, Effect.RESET)),
    "database: COMMIT's answer lost": ("database", Fault(DOWN, Effect.CLOSE, at=COMMIT)),
    "objects: PUT half sent": ("objects", Fault(UP, Effect.CLOSE, at=PUT, after=1000)),
    "objects: GET half": ("objects", Fault(DOWN, Effect.CLOSE, at=GET, after=70_000)),
}
# What is silent is waited for: half a minute for the database, a quarter for the object store.
SLOW = {
    "database: the COMMIT lost": ("database", Fault(UP, Effect.CLOSE, at=COMMIT)),
    "database: answers cut at 5 octets": ("database", Fault(DOWN, Effect.RESET, after=5)),
    "database: 100 ms late": ("database", Fault(DOWN, Effect.DELAY, seconds=0.1)),
    "objects: reset": ("objects", Fault(UP, Effect.RESET)),
    "objects: PUT begun": ("objects", Fault(UP, Effect.RESET, at=PUT, after=10)),
    "objects: PUT's answer lost": ("objects", Fault(DOWN, Effect.CLOSE, at=PUT)),
    "objects: 300 ms late": ("objects", Fault(DOWN, Effect.DELAY, seconds=0.3)),
    "database: swallows what it is told": ("database", Fault(UP, Effect.SWALLOW)),
    "database: swallows what it says": ("database", Fault(DOWN, Effect.SWALLOW)),
    "database: falls silent at COMMIT": ("database", Fault(UP, Effect.SWALLOW, at=COMMIT)),
    "database: falls silent after COMMIT": ("database", Fault(DOWN, Effect.SWALLOW, at=COMMIT)),
    "database: 1 s late": ("database", Fault(UP, Effect.DELAY, seconds=1)),
    "objects: swallows what it is told": ("objects", Fault(UP, Effect.SWALLOW)),
    "objects: falls silent within PUT": ("objects", Fault(UP, Effect.SWALLOW, at=PUT, after=500)),
    "objects: falls silent after PUT": ("objects", Fault(DOWN, Effect.SWALLOW, at=PUT)),
    "objects: falls silent within GET": ("objects", Fault(DOWN, Effect.SWALLOW, at=GET, after=70_000)),
    "objects: 3 s late": ("objects", Fault(UP, Effect.DELAY, seconds=3)),
}
LASTING = [*QUICK, *(pytest.param(name, marks=pytest.mark.heavy) for name in SLOW)]


@pytest.mark.parametrize("name", LASTING)
def test_as_long_as_it_lasts(stack: Stack, crew: Crew, name: str):
    where, fault = (QUICK | SLOW)[name]
    crew.prepare()
    stack.proxies[where].meet(fault)
    outcomes = crew.act_together()
    stack.proxies[where].heal()
    recovered(crew, name, outcomes)


@pytest.mark.parametrize("where", ["database", pytest.param("objects", marks=pytest.mark.heavy)])
def test_refused(stack: Stack, crew: Crew, where: str):
    crew.prepare()
    stack.proxies[where].refuse()
    outcomes = crew.act_together()
    stack.proxies[where].heal()
    recovered(crew, f"{where}: refused", outcomes)


# --- on one connection: the server copes, and nobody hears of it ---

ONCE = {
    "the COMMIT lost": ("database", Fault(UP, Effect.CLOSE, at=COMMIT, times=1)),
    "COMMIT's answer lost": ("database", Fault(DOWN, Effect.CLOSE, at=COMMIT, times=1)),
    "reset at COMMIT": ("database", Fault(UP, Effect.RESET, at=COMMIT, times=1)),
    "PUT's answer lost": ("objects", Fault(DOWN, Effect.CLOSE, at=PUT, times=1)),
    "GET's answer lost": ("objects", Fault(DOWN, Effect.RESET, at=GET, times=1)),
}


SELDOM = ("reset at COMMIT", "PUT's answer lost", "GET's answer lost")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.heavy) if name in SELDOM else name for name in ONCE]
)
def test_on_one_connection(stack: Stack, crew: Crew, name: str):
    where, fault = ONCE[name]
    proxy = stack.proxies[where]
    hit, outcomes = 0, []
    crew.prepare()
    for operation in crew.operations:
        proxy.meet(fault)
        outcomes.append(crew.act(operation))
        hit += proxy.befallen
    proxy.heal()
    tell(f"{name}, once", outcomes)
    assert all(outcome.done for outcome in outcomes)
    assert hit >= {COMMIT: len(WRITES), PUT: 2, GET: 1}[fault.at or b""]
    crew.settle(outcomes)


# --- cut anywhere ---

MANY_CUTS = (1, 5, 20, 60, 77, 110, 200, 400, 1_500, 4_000)
CUTS = [700, *(pytest.param(each, marks=pytest.mark.heavy) for each in MANY_CUTS)]
EDGES = {
    "to the database": ("database", UP),
    "from the database": ("database", DOWN),
    "to the objects": ("objects", UP),
    "from the objects": ("objects", DOWN),
}


@pytest.mark.parametrize("octets", CUTS)
@pytest.mark.parametrize("edge", EDGES)
def test_cut_after_so_many_octets(stack: Stack, crew: Crew, edge: str, octets: int):
    """Of new connections too: the first octets are those of the handshake."""
    where, direction = EDGES[edge]
    proxy = stack.proxies[where]
    crew.prepare()
    proxy.drop()
    proxy.meet(Fault(direction, Effect.CLOSE, after=octets))
    outcomes = crew.act_together()
    proxy.heal()
    recovered(crew, f"{edge}, cut after {octets} octets", outcomes)


# --- a store that stops, and goes on ---


@pytest.mark.heavy
@pytest.mark.parametrize("seconds", [2, 45])
@pytest.mark.parametrize("where", ["database", "objects"])
def test_stopped_and_continued(stack: Stack, crew: Crew, s3_server: SeaweedFS, where: str, seconds: int):
    assert s3_server.process is not None
    pid = mariadb.server().pid if where == "database" else s3_server.process.pid
    assert pid is not None
    crew.prepare()
    os.kill(pid, signal.SIGSTOP)
    timer = threading.Timer(seconds, os.kill, (pid, signal.SIGCONT))
    timer.start()
    try:
        outcomes = crew.act_together()
    finally:
        timer.join()
    recovered(crew, f"{where}: stopped for {seconds} s", outcomes)


@pytest.mark.heavy
def test_the_object_store_killed(stack: Stack, crew: Crew, s3_server: SeaweedFS):
    crew.prepare()
    outcomes = crew.act_together(meanwhile=s3_server.stop)
    s3_server.start()
    recovered(crew, "objects: killed", outcomes)


@pytest.mark.heavy
def test_the_database_killed(s3_server: SeaweedFS):
    """In the midst of it all, again and again."""
    private = mariadb.Private()
    try:
        with (
            open_stack(MARIADB_S3, s3_server, users=(), sections=SECTIONS, rows=private.server) as stack,
            closing(Crew(stack)) as crew,
        ):
            stack.server.start()
            for pause in (0.0, 0.005, 0.01, 0.02, 0.04):
                crew.prepare()
                outcomes = crew.act_together(meanwhile=partial(kill_after, pause, private))
                private.start()
                recovered(crew, f"database: killed after {pause * 1000:.0f} ms", outcomes)
            assert stack.server.stop() == 0
    finally:
        private.remove()


def kill_after(seconds: float, private: mariadb.Private) -> None:
    time.sleep(seconds)
    private.stop(crash=True)


# --- the server dies while nobody knows whether it has committed ---


@pytest.mark.parametrize("lost", [UP, DOWN], ids=["COMMIT on its way", "its answer on its way"])
def test_killed_at_commit(stack: Stack, crew: Crew, lost: Direction):
    proxy, server = stack.proxies["database"], stack.server
    octets = message()
    deliver = crew.operations[Deliver.name]
    proxy.meet(Fault(lost, Effect.SWALLOW, at=COMMIT))
    with LmtpClient(HOST, server.lmtp) as client:
        client.hand_in(SENDER, [deliver.user], octets)
        until = time.monotonic() + 20
        while not proxy.befallen and time.monotonic() < until:
            time.sleep(0.005)
        assert proxy.befallen
        server.kill()
        with pytest.raises(OSError, match=r"hung up|reset"):
            client.reply()
    proxy.heal()
    proxy.drop()
    server.start()
    assert deliver.copies(octets) == (0 if lost is UP else 1)
    assert deliver.deliver(octets).startswith(b"250")
    assert deliver.copies(octets) == 1
