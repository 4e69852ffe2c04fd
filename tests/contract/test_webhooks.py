"""The queue of events: each is claimed by one process, told in the order of its account, repeated until it is taken."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from twisted.internet import reactor as installed_reactor

from lightmail.errors import NoSuchQueuedEvent, Unavailable
from lightmail.jobs.webhooks import BATCH, DELAYS_SECONDS, Webhooks
from lightmail.model import AccountId
from lightmail.operations import webhooks
from lightmail.operations.events import Events, new_id
from lightmail.operations.housekeeping import WEBHOOK_FAILED_AGE_US, WEBHOOK_WAITING_AGE_US, forget
from lightmail.store import webhooks as stored
from lightmail.store.database import Database
from lightmail.store.webhooks import Claimed, Event, Repeat
from lightmail.webhooks import Receiver
from tests.support.actors import OPERATOR
from tests.support.hookkit import queued, receiver, telling
from tests.support.reactor import call, run
from tests.support.storekit import BACKENDS, Store, fresh_config, open_store, together

reactor: Any = installed_reactor


@pytest.fixture(scope="module", params=BACKENDS)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with fresh_config(request.param, tmp_path_factory.mktemp("rows")) as config, open_store(config) as store:
        yield store


@pytest.fixture
def store(opened: Store) -> Store:
    """The store, its queue empty."""
    opened.execute("DELETE FROM webhook_queue")
    return opened


def put(store: Store, *about: int | None) -> list[bytes]:
    """Queue events, each about an account."""
    made = [
        Event(new_id(), "account.change", None if n is None else AccountId(n), b'{"n":%d}' % (n or 0)) for n in about
    ]
    run(store.database.run("test", lambda cursor: cursor.script(stored.queue_statements(made))))
    return [each.id for each in made]


def claim(store: Store, most: int = 100, seconds: float = 60) -> list[Claimed]:
    return run(webhooks.claim(store.database, most, seconds))


def settle(
    store: Store, arrived: list[int], failed: list[Repeat] | None = None, untried: list[int] | None = None
) -> None:
    run(webhooks.settle(store.database, arrived, failed or [], untried or []))


# --- claims ---


def test_events_are_claimed_in_order_and_once(store: Store) -> None:
    ids = put(store, 1, 2, 3, None, 1)
    assert [event.event_id for event in claim(store, 2)] == ids[:2]
    # The last one is about an account of which some process tells just now.
    assert [event.event_id for event in claim(store)] == ids[2:4]
    assert claim(store) == []


def test_a_claim_runs_out(store: Store) -> None:
    ids = put(store, 1, 1)
    claim(store, seconds=-1)
    assert [event.event_id for event in claim(store)] == ids


def test_no_event_is_claimed_twice_and_no_account_by_two(store: Store) -> None:
    chance = random.Random(5)
    ids = put(store, *(chance.randrange(20) for _ in range(300)))
    seen: list[bytes] = []
    while len(seen) < len(ids):
        claims = together(*(webhooks.claim(store.database, 40, 60) for _ in range(4)))
        for number, mine in enumerate(claims):
            assert isinstance(mine, list)
            others = {event.account for each in claims[:number] + claims[number + 1 :] for event in each}  # type: ignore[union-attr]
            assert not others & {event.account for event in mine}
        found = [event for mine in claims for event in mine]  # type: ignore[union-attr]
        assert found
        seen += [event.event_id for event in found]
        settle(store, [event.id for event in found])
    assert sorted(seen) == sorted(ids)
    assert queued(store) == []


def test_what_failed_comes_again_later_and_is_given_up_at_last(store: Store) -> None:
    put(store, 1, 2)
    first, second = claim(store)
    settle(store, [], [Repeat(first.id, 1, "it answered 500", 3_600_000_000)], [second.id])
    waiting, free = queued(store)
    assert (waiting.attempts, waiting.last_error, waiting.failed_us) == (1, "it answered 500", 0)
    assert waiting.next_us > free.next_us + 3_000_000_000
    assert [event.id for event in claim(store)] == [second.id]
    settle(store, [second.id], [Repeat(first.id, 10, "it answered 500", None)])
    (given_up,) = queued(store)
    assert given_up.failed_us > 0
    assert claim(store) == []
    assert run(store.database.read("test", stored.count_txn, 100)) == (0, 1)


def test_what_was_given_up_can_be_tried_again(store: Store) -> None:
    put(store, 1, 2, 3)
    events = claim(store)
    settle(store, [], [Repeat(event.id, 10, "x", None) for event in events])
    assert run(webhooks.retry(store.tx, OPERATOR, [events[1].id])) == 1
    assert [event.attempts for event in claim(store)] == [0]
    # Whoever claimed it may be gone, and nobody else would take it for a minute.
    assert run(webhooks.retry(store.tx, OPERATOR, [events[1].id])) == 1
    settle(store, [event.id for event in claim(store)])
    with pytest.raises(NoSuchQueuedEvent):
        run(webhooks.retry(store.tx, OPERATOR, [events[2].id + 1000]))
    assert run(webhooks.retry_failed(store.tx, OPERATOR)) == 2
    assert run(webhooks.retry_failed(store.tx, OPERATOR)) == 0
    assert len(claim(store)) == 2
    logged = store.rows("SELECT detail FROM audit_log WHERE action = %s ORDER BY id", b"webhook.retry")
    assert [json.loads(row[0])["events"] for row in logged] == [1, 1, 2]


def test_the_queue_is_listed_by_page(store: Store) -> None:
    put(store, 1, 2, 3)
    first = claim(store, 1)
    settle(store, [], [Repeat(first[0].id, 10, "x", None)])
    read = store.database.read
    assert [each.id for each in run(read("test", stored.list_txn, 0, 10, True))] == [first[0].id]
    waiting = run(read("test", stored.list_txn, 0, 10, False))
    assert [each.account for each in waiting] == [2, 3]
    assert run(read("test", stored.list_txn, waiting[0].id, 1)) == waiting[1:]
    assert run(read("test", stored.list_txn, 0, 1, None, 2)) == waiting[1:]


def test_old_events_are_forgotten(store: Store) -> None:
    put(store, 1, 2, 3)
    given_up, forgotten, _ = claim(store)
    settle(store, [], [Repeat(given_up.id, 10, "x", None), Repeat(forgotten.id, 10, "x", None)])
    age = "UPDATE webhook_queue SET failed_at = failed_at - %s WHERE id = %s"
    store.execute(age, WEBHOOK_FAILED_AGE_US + 1, forgotten.id)
    run(forget(store.database))
    assert [event.account for event in queued(store)] == [1, 3]
    store.execute("UPDATE webhook_queue SET next_at = next_at - %s WHERE failed_at = 0", WEBHOOK_WAITING_AGE_US + 1)
    run(forget(store.database))
    assert [event.account for event in queued(store)] == [1]


# --- telling ---


def test_events_arrive_in_the_order_of_each_account(store: Store) -> None:
    chance = random.Random(7)
    about = [chance.randrange(1, 9) for _ in range(2 * BATCH + 9)]
    ids = [f"evt_{each.hex()}" for each in put(store, *about)]
    with receiver() as ear, telling(store, ear) as one, telling(store, ear) as other:
        while queued(store):
            results = together(one.look(), other.look())
            assert all(isinstance(each, int) for each in results), results
    assert sorted(told.id for told in ear.told) == sorted(ids)
    for account in set(about):
        wanted = [each for each, n in zip(ids, about, strict=True) if n == account]
        assert [told.id for told in ear.told if told.event["n"] == account] == wanted


def test_an_event_that_fails_holds_up_no_other(store: Store) -> None:
    ids = [f"evt_{each.hex()}" for each in put(store, 1, 1, 2)]
    with receiver(answer=lambda told: 400 if told.id == ids[0] else 204) as ear, telling(store, ear) as one:
        assert run(one.look()) == 2
        (left,) = queued(store)
        assert (left.attempts, left.last_error) == (1, "it answered 400")
        assert run(one.look()) == 0
        store.execute("UPDATE webhook_queue SET next_at = 0")
        ear.answer = lambda told: 204
        assert run(one.look()) == 1
    assert [told.id for told in ear.told].count(ids[0]) == 2
    assert len({told.event["n"] for told in ear.told if told.id == ids[0]}) == 1


def test_a_receiver_that_is_down_is_asked_with_one_event_at_a_time(store: Store) -> None:
    put(store, *range(1, 30))
    with receiver(answer=lambda told: 503) as ear, telling(store, ear) as one:
        ear.headers["Retry-After"] = "1"
        run(one.look())
        asked = len(ear.told)
        assert asked < 29, "those that had not been asked yet are left alone"
        for _ in range(3):
            run(one.look())
        assert len(ear.told) == asked + 3
        ear.answer = lambda told: 204
        assert run(one.look()) == 1
        assert run(one.look()) == 29 - asked - 4
    assert len(queued(store)) == asked + 3


def test_an_event_is_given_up_after_the_last_attempt(store: Store) -> None:
    put(store, 1)
    with receiver(answer=lambda told: 500) as ear, telling(store, ear) as one:
        for _ in range(len(DELAYS_SECONDS) + 3):
            run(one.look())
            store.execute("UPDATE webhook_queue SET next_at = 0")
    assert len(ear.told) == len(DELAYS_SECONDS) + 1
    (given_up,) = queued(store)
    assert given_up.failed_us > 0


def test_delays_grow_and_are_never_all_the_same(store: Store) -> None:
    put(store, *range(1, 9))
    with receiver(answer=lambda told: 500) as ear, telling(store, ear) as one:
        run(one.look())
    again = sorted(event.next_us - event.created_us for event in queued(store))
    assert again[0] >= 5_000_000
    assert again[-1] < 30_000_000
    assert len(set(again)) == 8


def test_what_was_told_before_a_crash_is_told_again_under_the_same_id(store: Store) -> None:
    """The receiver took it, and the process was gone before it could note that: at least once, never less."""
    put(store, 1)

    with receiver() as ear:
        with telling(store, ear) as one:
            (event,) = claim(store, seconds=-1)
            run(_send(one, event))
        with telling(store, ear) as another:
            assert run(another.look()) == 1
    assert [told.id for told in ear.told] == [f"evt_{event.event_id.hex()}"] * 2
    assert queued(store) == []


class Unsettling(Database):
    """A database that is away every now and then when events are to be settled."""

    def __init__(self, inner: Database) -> None:
        super().__init__(connections=inner.connections, reactor=inner.reactor)
        self._inner = inner
        self._chance = random.Random(11)

    async def run(self, name: str, fn: Any, *args: Any, **kwargs: Any) -> Any:
        if name == "webhook-settle" and self._chance.random() < 0.5:
            raise Unavailable
        return await self._inner.run(name, fn, *args, **kwargs)

    async def read(self, name: str, fn: Any, *args: Any, **kwargs: Any) -> Any:
        return await self._inner.read(name, fn, *args, **kwargs)

    attempt = start = stop = check = migrate = None  # type: ignore[assignment]


def test_whatever_fails_no_event_is_lost(store: Store) -> None:
    chance = random.Random(13)
    ids = {f"evt_{each.hex()}" for each in put(store, *(chance.randrange(1, 9) for _ in range(100)))}
    with receiver(answer=lambda told: 500 if chance.random() < 0.1 else 204) as ear:
        there = call(Receiver, ear.config(), reactor)
        one = call(lambda: Webhooks(Unsettling(store.database), Events(), there, reactor=reactor))
        while queued(store):
            together(one.look())
            # Time passes: claims run out, and what failed is due again.
            store.execute("UPDATE webhook_queue SET claimed_until = 0, next_at = 0")
        run(there.close())
    arrived = {told.id for told in ear.told}
    assert arrived == ids
    told_of: dict[str, set[int]] = {}
    for told in ear.told:
        told_of.setdefault(told.id, set()).add(told.event["n"])
    assert all(len(each) == 1 for each in told_of.values()), "an id means one event"


async def _send(one: Webhooks, event: Claimed) -> None:
    sender = one._receiver.sender
    assert sender is not None
    assert (await sender.send(event.event_id, event.payload)).arrived


def test_a_server_that_stops_leaves_no_event_claimed(store: Store) -> None:
    put(store, *range(1, 20))
    with receiver(answer=lambda told: None) as ear, telling(store, ear) as one:
        call(one.startService)
        ear.wait(1)
        run(_stopped(one))
        assert [event.attempts for event in queued(store)] == [0] * 19
        assert len(claim(store)) == 19


async def _stopped(service: Webhooks) -> None:
    stopping = service.stopService()
    if stopping is not None:
        await stopping


def test_another_receiver_is_told_from_the_next_round_on(store: Store) -> None:
    put(store, 1)
    with receiver() as old, receiver() as new:
        there = call(Receiver, replace(old.config(), enabled=False), reactor)
        events = Events()
        one = call(lambda: Webhooks(store.database, events, there, reactor=reactor))
        call(one.startService)
        assert events.statements("account.add", None, {}) == []
        run(there.reconfigure(new.config(events=("account.add",))))
        assert events.statements("account.add", None, {}) != []
        assert events.statements("account.change", None, {}) == []
        new.wait(1)
        run(_stopped(one))
        run(there.close())
        assert old.told == []


def test_a_queue_that_is_too_long_takes_no_more(store: Store) -> None:
    put(store, *range(1, 12))
    with receiver(answer=lambda told: 500) as ear:
        there = call(Receiver, ear.config(queue_events=10), reactor)
        events = Events()
        one = call(lambda: Webhooks(store.database, events, there, reactor=reactor))
        run(one.look())
        assert events.full
        assert events.statements("account.add", None, {}) == []
        run(there.close())
