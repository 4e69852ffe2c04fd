"""One soak from its beginning to its verdict."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import pymysql

from tests.soak import sampling
from tests.soak.ledger import number_of
from tests.soak.load import INBOX, Postman, Soak, clients
from tests.soak.sampling import Sample, Trend
from tests.soak.troubles import Troubles
from tests.support import mariadb, seaweedfs
from tests.support.mailclients import ImapClient
from tests.support.stack import EMBEDDED, HOST, Stack, open_stack

USERS = tuple(f"user{number}@example.org" for number in range(4))
POP_USER = "pop@example.org"
# Small caches are full before the warming up ends (of 8 MiB that took ten minutes), and what then grows is a leak. The
# jobs run as in production, but oftener.
_MIB = 1 << 20
SECTIONS = {
    "limits": {"index_octets": 2 * _MIB, "rendered_octets": 2 * _MIB, "body_octets": 2 * _MIB},
    "garbage": {"idle_seconds": 5, "pause_seconds": 1},
    "journal": {"interval_seconds": 5},
}
# How long a client may need to end: a silent database is waited for.
_END_SECONDS = 150.0
_RECOVERY_SECONDS = 60.0


@dataclass
class Verdict:
    """What came of it."""

    samples: list[Sample] = field(default_factory=list)
    trends: list[Trend] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    tally: Counter[str] = field(default_factory=Counter)
    troubles: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0

    @property
    def good(self) -> bool:
        """Whether every promise held and nothing grew."""
        return not self.problems and not any(trend.grows for trend in self.trends)


@contextmanager
def _stack(kind: str, proxied: bool) -> Iterator[Stack]:
    users = (*USERS, POP_USER)
    if kind == EMBEDDED:
        with open_stack(kind, users=users, sections=SECTIONS) as stack:
            yield stack
        return
    private = mariadb.Private()
    try:
        with (
            seaweedfs.running() as s3,
            open_stack(kind, s3, users=users, sections=SECTIONS, rows=private.server, proxied=proxied) as stack,
        ):
            yield stack
    finally:
        private.remove()


def soak(kind: str, seconds: float, *, faults: bool, every_seconds: float = 5.0, seed: int = 1) -> Verdict:
    """Run the load for so long, and judge. Prints a table as it goes."""
    with _stack(kind, faults) as stack:
        stack.server.start()
        shared = Soak(stack.server, USERS, POP_USER, troubled=faults)
        troubles = Troubles(stack, shared.over, seed)
        threads = [*clients(shared), *([troubles] if faults else [])]
        verdict = Verdict(problems=shared.problems, tally=shared.tally)
        for thread in threads:
            thread.start()
        try:
            _watch(stack, seconds, every_seconds, verdict)
        finally:
            shared.over.set()
            for thread in threads:
                thread.join(_END_SECONDS)
        verdict.problems += [f"{thread.name} has not ended" for thread in threads if thread.is_alive()]
        verdict.troubles.update(troubles.made)
        verdict.trends = sampling.trends(verdict.samples)
        _settle(stack, shared)
        verdict.acknowledged = shared.ledger.acknowledged
        return verdict


def _watch(stack: Stack, seconds: float, every_seconds: float, verdict: Verdict) -> None:
    """Sample the server until the time is up."""
    process = stack.server.process
    assert process is not None
    spool = stack.server.directory / "data" / "spool"
    began = time.monotonic()
    print(sampling.heading())
    while (at := time.monotonic() - began) < seconds:
        if process.poll() is not None:
            verdict.problems.append(f"the server ended with status {process.returncode}")
            return
        verdict.samples.append(sampling.take(process.pid, spool, at, lambda: _connections(stack)))
        print(sampling.row(verdict.samples[-1]), flush=True)
        time.sleep(max(0.0, min(every_seconds, seconds - at)))


def _connections(stack: Stack) -> int:
    if stack.rows is None:
        return 0
    with suppress(pymysql.err.Error), stack.rows.connect() as link, link.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM information_schema.processlist WHERE db = %s", (stack.database,))
        row = cursor.fetchone()
        return int(row[0]) if row else 0
    return 0


def _settle(stack: Stack, shared: Soak) -> None:
    """All trouble is over: deliver what was deferred, and find everything acknowledged, once and whole."""
    for proxy in stack.proxies.values():
        proxy.heal()
    _wait_until_well(stack, shared)
    shared.troubled = False
    Postman(shared, 0).deliver_deferred()
    for place in shared.ledger.places():
        shared.problems += shared.ledger.judge(place, _found(stack, *place))
    verified = stack.server.cli("verify", "--deep", check=False)
    if verified.returncode != 0:
        shared.problems.append(f"verify --deep: {verified.stdout[-2000:]}{verified.stderr[-2000:]}")
    if stack.server.stop() != 0:
        shared.problems.append("the server did not stop in order")
    log = stack.server.log()
    if "Traceback" in log:
        at = log.index("Traceback")
        shared.problems.append(
            f"{log.count('Traceback')} bugs were logged, the first: {log[max(0, at - 500) : at + 8000]}"
        )


def _wait_until_well(stack: Stack, shared: Soak) -> None:
    until = time.monotonic() + _RECOVERY_SECONDS
    while set(stack.server.checks().values()) != {"ok"}:
        if time.monotonic() > until:
            shared.problems.append(f"not recovered within {_RECOVERY_SECONDS:.0f} s: {stack.server.checks()}")
            return
        time.sleep(0.2)


def _found(stack: Stack, user: str, mailbox: str) -> Counter[int]:
    """The numbers of the messages in a mailbox."""
    found: Counter[int] = Counter()
    with ImapClient(HOST, stack.server.imap) as client:
        client.expect(b"LOGIN %b secret" % user.encode())
        client.expect(b"EXAMINE " + (mailbox or INBOX).encode())
        client.expect(b"UID FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")
        for response in client.untagged:
            number = number_of(response)
            if number is not None:
                found[number] += 1
    return found
