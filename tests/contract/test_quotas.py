"""Quotas are exact in every way in, domains have the accounts they may have, and owners are warned once."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from lightmail.config import DatabaseConfig
from lightmail.errors import AlreadyExists, LimitReached, NoSuchAccount, OverQuota
from lightmail.model import Account, FlagMode, MailboxId
from lightmail.operations import accounts as operations
from lightmail.operations import domains, quotas
from lightmail.operations.append import Appended, NewMessage, append
from lightmail.operations.copy import copy, move
from lightmail.operations.deliver import Delivered, Duplicate, Recipient, deliver, without_room
from lightmail.operations.expunge import expunge
from lightmail.operations.flags import store_flags
from lightmail.operations.mailboxes import rename
from lightmail.operations.transactions import Transactions
from lightmail.store import domains as domain_rows
from lightmail.store.cursor import Cursor
from lightmail.store.database import Database
from lightmail.store.quotas import Filling, filling_txn
from tests.support import quotastorm
from tests.support.actors import OPERATOR
from tests.support.reactor import run
from tests.support.storekit import BACKENDS, NOW_US, Heard, Store, blob, fresh_config, open_store, together

NONE: tuple[bytes, ...] = ()


@pytest.fixture(scope="module", params=BACKENDS)
def config(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseConfig]:
    with fresh_config(request.param, tmp_path_factory.mktemp("rows")) as fresh:
        yield fresh


@pytest.fixture(scope="module")
def store(config: DatabaseConfig) -> Iterator[Store]:
    with open_store(config) as opened:
        yield opened


def two_processes(store: Store) -> tuple[Transactions, Transactions]:
    """Nothing in common but the database. SQLite has one process only."""
    if store.database.dialect == "sqlite":
        return store.tx, store.tx
    return store.tx, Transactions(store.database, Heard())


def expunge_all(store: Store, account: Account, uids: range) -> None:
    inbox = store.mailbox(account).id
    run(store_flags(store.tx, account, inbox, uids, FlagMode.ADD, [b"\\Deleted"]))
    run(expunge(store.tx, account, inbox, uids))


def events_of(store: Store, account: Account) -> list[tuple[str, dict[str, Any]]]:
    def read(cursor: Cursor) -> list[tuple[str, dict[str, Any]]]:
        cursor.execute("SELECT kind, detail FROM events WHERE account = %s ORDER BY id", (account.id,))
        return [(row[0].decode(), json.loads(row[1])) for row in cursor.fetchall()]

    return run(store.database.read("test", read))


# --- exactness ---


@contextmanager
def watched(database: Database) -> Iterator[list[tuple[int, ...]]]:
    """Look at all usages again and again; those that were ever above their quota."""
    above: list[tuple[int, ...]] = []
    ended = threading.Event()

    def read(cursor: Cursor) -> list[tuple[int, ...]]:
        cursor.execute(
            "SELECT a.id, u.octets, u.messages FROM accounts a JOIN account_usage u ON u.account = a.id WHERE"
            " (a.quota_octets > 0 AND u.octets > a.quota_octets)"
            " OR (a.quota_messages > 0 AND u.messages > a.quota_messages)"
        )
        return list(cursor.fetchall())

    def look() -> None:
        while not ended.is_set():
            above.extend(run(database.read("watch", read)))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield above
    finally:
        ended.set()
        looking.join(30)


WRONG_SUMS = (
    "SELECT COUNT(*) FROM account_usage u WHERE u.octets <>"
    " (SELECT COALESCE(SUM(m.octets), 0) FROM messages m WHERE m.account = u.account AND m.deleted_at = 0)"
    " OR u.messages <> (SELECT COUNT(*) FROM messages m WHERE m.account = u.account AND m.deleted_at = 0)"
)


def test_usage_is_the_sum_and_never_above_the_quota_whatever_comes_at_once(
    store: Store, config: DatabaseConfig
) -> None:
    owners = [store.account(quota_octets=20_000), store.account(quota_messages=9), store.account(30_000, 20)]
    others = []
    with watched(store.database) as above:
        if store.database.dialect != "sqlite":
            others = [quotastorm.elsewhere(config, owners, seed, 160) for seed in (2, 3)]
        refused = run(quotastorm.storm(store.tx, owners, 1, 240))
        assert [process.wait(60) for process in others] == [0] * len(others)
    assert above == []
    assert refused > 0, "the quotas were never reached"
    assert store.count(WRONG_SUMS) == 0
    for owner in owners:
        octets, messages = store.usage(owner)
        assert messages > 0
        assert octets <= (owner.quota_octets or octets)
        assert messages <= (owner.quota_messages or messages)


def test_many_recipients_of_one_message_each_have_their_quota(store: Store) -> None:
    full = store.account(quota_messages=1)
    store.fill(full, "INBOX", [NONE])
    roomy = [store.account(quota_octets=5_000) for _ in range(3)]
    places = [Recipient(each, store.mailbox(each).id, each.address) for each in [roomy[0], full, *roomy[1:]]]
    writers = two_processes(store)
    outcomes = together(*(deliver(writers[n % 2], blob(), "s", None, places, NOW_US) for n in range(12)))
    by_place = list(zip(*outcomes, strict=True))  # type: ignore[arg-type]
    assert [sum(isinstance(each, Delivered) for each in place) for place in by_place] == [5, 0, 5, 5]
    assert all(isinstance(each, Delivered | OverQuota) for place in by_place for each in place)
    assert [store.usage(place.account)[1] for place in places] == [5, 1, 5, 5]


def test_what_stays_in_the_account_needs_no_room(store: Store) -> None:
    account = store.account(quota_octets=3_000, quota_messages=3)
    inbox = store.fill(account, "INBOX", [NONE] * 3)
    archive = store.mailbox(account, "Archive").id
    assert run(move(store.tx, account, inbox, [1], archive)).uids == [1]
    run(rename(store.tx, account, "INBOX", "Before"))
    with pytest.raises(OverQuota):
        run(copy(store.tx, account, archive, [1], inbox))
    assert store.usage(account) == (3_000, 3)
    assert store.count(WRONG_SUMS) == 0


def test_a_limit_lowered_below_what_is_used_refuses_what_is_new_and_nothing_else(store: Store) -> None:
    account = store.account()
    inbox = store.fill(account, "INBOX", [NONE] * 4)
    run(
        operations.change_account(
            store.tx, OPERATOR, account.id, operations.Change(quota_octets=2_500, quota_messages=2)
        )
    )
    with pytest.raises(OverQuota):
        store.fill(account, "INBOX", [NONE])
    archive = store.mailbox(account, "Archive").id
    run(move(store.tx, account, inbox, [1], archive))
    run(store_flags(store.tx, account, inbox, [2], FlagMode.ADD, [b"\\Seen"]))
    expunge_all(store, account, range(2, 4))
    assert store.usage(account) == (2_000, 2)
    with pytest.raises(OverQuota):
        store.fill(account, "INBOX", [NONE])
    expunge_all(store, account, range(4, 5))
    store.fill(account, "INBOX", [NONE])
    assert store.usage(account) == (2_000, 2)


# --- the early answer ---


def test_a_full_account_is_known_before_anything_is_made_for_it(store: Store) -> None:
    account, roomy = store.account(quota_octets=1_500), store.account(quota_octets=1_500)
    to, other = (Recipient(each, store.mailbox(each).id, each.address) for each in (account, roomy))
    assert run(deliver(store.tx, blob(1_000), "s", b"1" * 32, [to], NOW_US)) == [Delivered(1)]
    before = store.trips("room")
    assert run(without_room(store.tx, 501, "s", b"2" * 32, [to, other])) == [True, False]
    assert store.trips("room") - before == (1 if store.database.dialect == "mysql" else 3)
    assert run(without_room(store.tx, 501, "s", None, [other, to])) == [False, True]
    assert run(without_room(store.tx, 500, "s", b"2" * 32, [to])) == [False]
    # The answer to the first delivery was lost; it comes again, and the account is full of it.
    assert run(without_room(store.tx, 1_000, "s", b"1" * 32, [to])) == [False]
    assert run(deliver(store.tx, blob(1_000), "s", b"1" * 32, [to], NOW_US)) == [Duplicate()]


def test_one_account_behind_two_addresses_has_its_room_once(store: Store) -> None:
    account = store.account(quota_messages=1)
    boxes = [store.mailbox(account, name).id for name in ("INBOX", "Archive")]
    places = [Recipient(account, box, f"{box}@example.org") for box in boxes]
    assert run(without_room(store.tx, 10, "s", None, places)) == [False, True]


# --- refusals ---


def test_the_first_refusal_is_an_event_and_the_next_ones_are_not(store: Store) -> None:
    account = store.account(quota_octets=2_500)
    inbox = store.fill(account, "INBOX", [NONE] * 2)
    to = Recipient(account, inbox, account.address)
    writers = two_processes(store)
    outcomes = together(*(deliver(writers[n % 2], blob(), "s", None, [to], NOW_US) for n in range(6)))
    assert all(isinstance(each, OverQuota) for outcome in outcomes for each in outcome)  # type: ignore[union-attr]
    with pytest.raises(OverQuota):
        run(copy(store.tx, account, inbox, [1], inbox))
    with pytest.raises(OverQuota):
        run(append(store.tx, account, inbox, [NewMessage(blob(), NONE, NOW_US)]))
    detail = {"octets": 2_000, "quota_octets": 2_500, "messages": 2, "quota_messages": 0, "percent": 80}
    assert events_of(store, account) == [("quota.exceeded", detail)]
    # With room again, and a day later, the next refusal is news.
    expunge_all(store, account, range(1, 3))
    run(quotas.relieve(store.database, 90))
    with pytest.raises(OverQuota):
        store.fill(account, "INBOX", [NONE], octets=9_999)
    assert len(events_of(store, account)) == 1
    store.execute("UPDATE quota_warnings SET warned_at = warned_at - 90000000000 WHERE account = %s", account.id)
    run(quotas.relieve(store.database, 90))
    with pytest.raises(OverQuota):
        store.fill(account, "INBOX", [NONE], octets=9_999)
    assert [kind for kind, _ in events_of(store, account)] == ["quota.exceeded"] * 2


# --- warnings ---


def filling(store: Store, percent: int, *of: Account) -> list[Filling]:
    ids = {account.id for account in of}
    after = min(ids) - 1
    return [
        each for each in run(store.database.read("test", filling_txn, percent, after, 1000)) if each.account.id in ids
    ]


def test_accounts_that_are_nearly_full_are_found(store: Store) -> None:
    by_octets, by_messages, over = store.account(10_000), store.account(0, 5), store.account()
    large, without = store.account((1 << 63) - 1, (1 << 63) - 1), store.account()
    everyone = (by_octets, by_messages, over, large, without)
    for account in everyone:
        store.fill(account, "INBOX", [NONE] * 4, octets=2_250)
    run(operations.change_account(store.tx, OPERATOR, over.id, operations.Change(quota_octets=1)))
    assert [each.account.id for each in filling(store, 90, *everyone)] == [by_octets.id, over.id]
    assert [each.quota.percent() for each in filling(store, 80, *everyone)] == [90, 80, 900_000]
    assert [each.account.id for each in filling(store, 91, *everyone)] == [over.id]
    run(operations.delete_account(store.tx, OPERATOR, over.id))
    assert [each.account.id for each in filling(store, 90, *everyone)] == [by_octets.id]
    store.execute("UPDATE account_usage SET octets = 9223372036854775000 WHERE account = %s", large.id)
    assert [each.account.id for each in filling(store, 100, large)] == []
    assert [each.quota.percent() for each in filling(store, 99, large)] == [99]
    store.execute("UPDATE account_usage SET octets = 9000 WHERE account = %s", large.id)


def test_a_warning_comes_once_however_many_give_it(store: Store) -> None:
    account = store.account(10_000)
    inbox = store.fill(account, "INBOX", [NONE] * 9)
    (found,) = filling(store, 90, account)
    writers = two_processes(store)
    outcomes = together(*(quotas.warn(writers[n % 2], found, blob(1_500), NOW_US, 90) for n in range(8)))
    assert sorted(map(str, outcomes)) == ["False"] * 7 + ["True"]
    assert store.uids(inbox) == list(range(1, 11))
    assert store.usage(account) == (10_500, 10), "no quota refuses it, and it is charged"
    detail = {"octets": 9_000, "quota_octets": 10_000, "messages": 9, "quota_messages": 0, "percent": 90}
    assert events_of(store, account) == [("quota.warning", detail)]
    assert filling(store, 90, account) == []
    assert store.count(WRONG_SUMS) == 0


def test_a_warning_comes_again_only_after_there_was_clearly_room(store: Store) -> None:
    account = store.account(10_000)
    store.fill(account, "INBOX", [NONE] * 9)
    (found,) = filling(store, 90, account)
    assert run(quotas.warn(store.tx, found, blob(100), NOW_US, 90))
    expunge_all(store, account, range(1, 2))  # 81 %: not clearly below
    run(quotas.relieve(store.database, 90))
    store.fill(account, "INBOX", [NONE])
    assert filling(store, 90, account) == []
    expunge_all(store, account, range(2, 5))  # 61 %
    run(quotas.relieve(store.database, 90))
    assert filling(store, 90, account) == []
    store.fill(account, "INBOX", [NONE] * 3)
    (again,) = filling(store, 90, account)
    assert run(quotas.warn(store.tx, again, blob(100), NOW_US, 90))
    # A quota that is lifted is room, too.
    run(operations.change_account(store.tx, OPERATOR, account.id, operations.Change(quota_octets=0)))
    run(quotas.relieve(store.database, 90))
    run(operations.change_account(store.tx, OPERATOR, account.id, operations.Change(quota_octets=10_000)))
    assert len(filling(store, 90, account)) == 1


def test_what_has_room_by_now_is_not_warned(store: Store) -> None:
    account = store.account(10_000)
    inbox = store.fill(account, "INBOX", [NONE] * 9)
    (found,) = filling(store, 90, account)
    expunge_all(store, account, range(1, 2))
    assert not run(quotas.warn(store.tx, found, blob(100), NOW_US, 90))
    assert not run(quotas.warn(store.tx, replace(found, inbox=MailboxId(10**9)), blob(100), NOW_US, 80))
    assert store.uids(inbox) == list(range(2, 10))
    assert events_of(store, account) == []
    assert store.count("SELECT COUNT(*) FROM quota_warnings WHERE account = %s", account.id) == 0


@pytest.mark.parametrize(("percent", "relief"), [(90, 80), (100, 90), (15, 7), (1, 0)])
def test_clearly_below(percent: int, relief: int) -> None:
    assert quotas.relief_percent(percent) == relief


# --- domains ---


def shown(store: Store, name: str) -> domain_rows.Domain:
    found = run(store.database.read("test", domain_rows.by_name_txn, name))
    assert found is not None
    return found


def test_a_domain_has_as_many_accounts_as_it_may_have(store: Store) -> None:
    few = run(domains.add_domain(store.tx, OPERATOR, "few.example", 2))
    assert shown(store, "few.example").max_accounts == 2
    first, second = (
        run(operations.add_account(store.tx, OPERATOR, f"{local}@few.example", "h")) for local in ("a", "b")
    )
    with pytest.raises(LimitReached):
        run(operations.add_account(store.tx, OPERATOR, "c@few.example", "h"))
    with pytest.raises(LimitReached):
        run(operations.add_account(store.tx, OPERATOR, "a@few.example", "h"))
    run(operations.delete_account(store.tx, OPERATOR, first.id))
    run(operations.add_account(store.tx, OPERATOR, "c@few.example", "h"))
    run(domains.limit_domain(store.tx, OPERATOR, few, 1))  # those it has stay
    run(operations.change_account(store.tx, OPERATOR, second.id, operations.Change(active=True)))
    with pytest.raises(LimitReached):
        run(operations.add_account(store.tx, OPERATOR, "d@few.example", "h"))
    run(domains.limit_domain(store.tx, OPERATOR, few, 3))
    run(operations.add_account(store.tx, OPERATOR, "d@few.example", "h"))
    run(domains.limit_domain(store.tx, OPERATOR, few, 0))
    for local in ("e", "f"):
        run(operations.add_account(store.tx, OPERATOR, f"{local}@few.example", "h"))
    assert shown(store, "few.example").max_accounts == 0
    with pytest.raises(NoSuchAccount):
        run(domains.limit_domain(store.tx, OPERATOR, few + 1000, 1))
    with pytest.raises(AlreadyExists):
        run(domains.add_domain(store.tx, OPERATOR, "few.example", 1))


def test_a_domain_s_limit_goes_with_it(store: Store) -> None:
    gone = run(domains.add_domain(store.tx, OPERATOR, "gone.example", 1))
    run(domains.delete_domain(store.tx, OPERATOR, gone))
    assert store.count("SELECT COUNT(*) FROM domain_limits l WHERE l.domain NOT IN (SELECT id FROM domains)") == 0


def test_two_that_add_the_last_account_get_one_between_them(store: Store) -> None:
    run(domains.add_domain(store.tx, OPERATOR, "race.example", 3))
    writers = two_processes(store)
    outcomes = together(
        *(operations.add_account(writers[n % 2], OPERATOR, f"user{n}@race.example", "h") for n in range(10))
    )
    assert sum(isinstance(outcome, Account) for outcome in outcomes) == 3
    assert sum(isinstance(outcome, LimitReached) for outcome in outcomes) == 7
    assert shown(store, "race.example").accounts == 3


def test_appends_that_wait_together_are_refused_each_for_itself(store: Store) -> None:
    account = store.account(quota_octets=3_500)
    inbox = store.mailbox(account).id
    sizes = [1_000, 3_000, 1_000, 1_000, 500, 1_000]
    outcomes = together(*(append(store.tx, account, inbox, [NewMessage(blob(n), NONE, NOW_US)]) for n in sizes))
    assert all(isinstance(each, Appended | OverQuota) for each in outcomes)
    octets, messages = store.usage(account)
    assert octets <= 3_500
    assert messages == sum(isinstance(each, Appended) for each in outcomes)
