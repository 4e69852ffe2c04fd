"""The job that warns accounts which are nearly full, over real rows and objects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from lightmail.errors import Unavailable
from lightmail.jobs.quota_notice import DEFAULT_TEMPLATE, Notice
from lightmail.jobs.quotas import PAGE, QuotaWarnings
from lightmail.operations.accounts import Change, change_account
from tests.sessions.test_lmtp import MESSAGE, deliver
from tests.support.actors import OPERATOR
from tests.support.mailroom import Mailroom, reactor
from tests.support.reactor import call, run


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Mailroom]:
    room = Mailroom(tmp_path).open()
    yield room
    room.close()


def job(room: Mailroom, clock: Any = reactor, interval_seconds: float = 0.001) -> QuotaWarnings:
    return QuotaWarnings(
        room.transactions,
        room.blobs,
        room.spools,
        Notice(DEFAULT_TEMPLATE),
        percent=90,
        interval_seconds=interval_seconds,
        reactor=clock,
    )


def fill(room: Mailroom, address: str, percent: int = 95) -> None:
    """Deliver a message, and let it be so much of the account's quota."""
    assert deliver(room, MESSAGE, address)[0].startswith(b"250")
    octets = sum(map(len, room.mail(address)))
    change = Change(quota_octets=octets * 100 // percent)
    run(change_account(room.transactions, OPERATOR, room.account(address).id, change))


def test_an_owner_is_told_once_and_by_a_message(room: Mailroom) -> None:
    for name in ("ann", "bob", "cid"):
        room.add_account(f"{name}@example.org", "secret")
    fill(room, "ann@example.org")
    fill(room, "bob@example.org", percent=80)
    deliver(room, MESSAGE, "cid@example.org")
    first, second = job(room), job(room)
    assert run(first.look()) + run(second.look()) + run(first.look()) == 1
    assert [len(room.mail(f"{name}@example.org")) for name in ("ann", "bob", "cid")] == [2, 1, 1]
    _, warning = room.mail("ann@example.org")
    assert b"Subject: Your mailbox is 95 % full\r\n" in warning
    assert b"The mailbox of ann@example.org is nearly full:" in warning
    assert room.spooled_octets() == 0


def test_more_accounts_than_a_page_are_told_each(room: Mailroom) -> None:
    room.add_account("a0@example.org", "secret")
    fill(room, "a0@example.org")
    for number in range(1, PAGE + 5):
        room.add_account(f"a{number}@example.org", "secret")
    full = "UPDATE accounts SET quota_messages = 1"
    run(room.database.run("test", lambda cursor: cursor.execute(full)))
    run(room.database.run("test", lambda cursor: cursor.execute("UPDATE account_usage SET messages = 1")))
    assert run(job(room, interval_seconds=60).look()) == PAGE + 5
    assert all(len(room.mail(f"a{number}@example.org")) == 1 for number in range(1, PAGE + 5))


def test_one_look_in_an_interval_however_many_processes(room: Mailroom) -> None:
    room.add_account("ann@example.org", "secret")
    fill(room, "ann@example.org")
    patient = job(room, interval_seconds=60)
    assert run(patient.look()) == 1
    run(room.database.run("test", lambda cursor: cursor.execute("DELETE FROM quota_warnings")))
    assert run(job(room).look()) == 0


def test_an_outage_delays_a_warning_and_nothing_else(room: Mailroom) -> None:
    room.add_account("ann@example.org", "secret")
    fill(room, "ann@example.org")
    room.store.failing = True
    with pytest.raises(Unavailable):
        run(job(room).look())
    assert room.spooled_octets() == 0
    room.store.failing = False
    assert len(room.mail("ann@example.org")) == 1
    assert run(job(room).look()) == 1
    assert len(room.mail("ann@example.org")) == 2


def test_it_goes_round_until_it_is_stopped(room: Mailroom) -> None:
    room.add_account("ann@example.org", "secret")
    fill(room, "ann@example.org")
    clock = Clock()
    rounds = job(room, clock)
    call(rounds.startService)
    call(lambda: clock.advance(0.001))
    ending = call(lambda: [rounds.stopService()])[0]
    if ending is not None:
        run(_ended(ending))
    assert call(clock.getDelayedCalls) == []


async def _ended(ending: Any) -> None:
    await ending
