"""Calendars, over every database: whose they are, the order of writes, what is collected and what verified."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread

from lightmail.errors import (
    AlreadyExists,
    Corruption,
    Invalid,
    LimitReached,
    NoSuchAccount,
    NoSuchCalendar,
    NoSuchEvent,
    Unavailable,
)
from lightmail.jobs.verify import CHECKS
from lightmail.model import Account, AccountId
from lightmail.objects import keys
from lightmail.objects.cloud import memory_store
from lightmail.operations import accounts, calendar_events, calendars
from lightmail.operations.actors import Actor
from lightmail.operations.calendar_events import Hands
from lightmail.store import calendar_objects
from lightmail.store.calendars import Calendar, Event
from tests.support.actors import OPERATOR, of_domain
from tests.support.garbagekit import DAY_US, Yard, open_yard
from tests.support.icaltext import calendar, event, text
from tests.support.reactor import run
from tests.support.storekit import BACKENDS, Store, fresh_config, open_store, together
from tests.support.verifykit import House, open_house

reactor: Any = installed_reactor
HOUR_US = 3_600_000_000


@pytest.fixture(scope="module", params=BACKENDS)
def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    directory = tmp_path_factory.mktemp("rows")
    with (
        fresh_config(request.param, directory) as config,
        open_store(config) as store,
        open_house(store, memory_store(), directory) as house,
    ):
        yield house


@pytest.fixture
def house(opened: House) -> Iterator[House]:
    for table in ("calendars", "calendar_events", "calendar_objects", "audit_log"):
        opened.store.execute(f"DELETE FROM {table}")  # noqa: S608
    opened.objects.delete(opened.objects.keys(keys.CALENDAR_PREFIX, limit=100_000))
    yield opened
    assert kinds(opened, deep=True) == set(), "a test leaves the store as it ought to be"


def kinds(house: House, **options: Any) -> set[str]:
    """The kinds of findings about calendars; a yard leaves others behind."""
    return {kind for kind in house.kinds(**options) if kind.startswith(("event-", "calendar-", "foreign-"))}


@pytest.fixture
def account(house: House) -> Account:
    return house.store.account()


@pytest.fixture
def work(house: House, account: Account) -> Calendar:
    return run(calendars.add_calendar(house.store.tx, OPERATOR, account.id, "Work", "What I do"))


def hands(house: House) -> Hands:
    return Hands(house.store.tx, house.objects, house.pool)


def add(house: House, into: Calendar, octets: bytes | None = None, actor: Actor = OPERATOR) -> Event:
    return run(calendar_events.add_event(hands(house), actor, into.id, text() if octets is None else octets))


def domain_of(store: Store, account: Account) -> int:
    return store.count("SELECT domain FROM accounts WHERE id = %s", account.id)


def actions(store: Store) -> list[str]:
    found = [bytes(row[0]).decode() for row in store.rows("SELECT action FROM audit_log ORDER BY id")]
    return [action for action in found if action.startswith(("calendar.", "event."))]


def objects(house: House) -> set[str]:
    return set(house.objects.keys(keys.CALENDAR_PREFIX, limit=1000))


def dropped(house: House) -> set[str]:
    rows = house.store.rows("SELECT object_key FROM calendar_objects WHERE dropped_at > 0")
    return {bytes(row[0]).decode() for row in rows}


def us(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp() * 1_000_000)  # type: ignore[misc,arg-type]


def happenings(house: House, work: Calendar, begin_us: int, end_us: int, limit: int = 100) -> list[Any]:
    found: list[Any] = []
    while True:
        after = found[-1].position if found else None
        page = run(calendar_events.list_happenings(hands(house), OPERATOR, work.id, begin_us, end_us, after, limit))
        found += page
        if len(page) < limit:
            return found


def test_a_calendar_is_its_accounts_and_has_a_name_of_its_own(house: House, account: Account, work: Calendar) -> None:
    assert (work.account, work.address, work.name, work.description) == (
        account.id,
        account.address,
        "Work",
        "What I do",
    )
    with pytest.raises(AlreadyExists):
        run(calendars.add_calendar(house.store.tx, OPERATOR, account.id, "Work"))
    with pytest.raises(NoSuchAccount):
        run(calendars.add_calendar(house.store.tx, OPERATOR, AccountId(99_999), "Work"))
    for name in ("", "x" * 256):
        with pytest.raises(Invalid):
            run(calendars.add_calendar(house.store.tx, OPERATOR, account.id, name))
    home = run(calendars.add_calendar(house.store.tx, OPERATOR, account.id, "Home \N{SNOWMAN}"))
    other = run(calendars.add_calendar(house.store.tx, OPERATOR, house.store.account().id, "Work"))

    def listed(**page: int) -> list[int]:
        found, total = run(calendars.list_calendars(house.store.database, OPERATOR, account.id, **{"limit": 9, **page}))
        assert total == 2
        return [each.id for each in found]

    assert listed() == [work.id, home.id]
    assert (listed(limit=1), listed(after=work.id), listed(offset=1)) == ([work.id], [home.id], [home.id])
    run(calendars.delete_calendar(house.store.tx, OPERATOR, work.id))
    with pytest.raises(NoSuchCalendar):
        run(calendars.show_calendar(house.store.database, OPERATOR, work.id))
    again = run(calendars.add_calendar(house.store.tx, OPERATOR, account.id, "Work"))
    assert again.id not in (work.id, home.id, other.id)


def test_another_domains_calendars_are_not_there(house: House, account: Account, work: Calendar) -> None:
    own, stranger = of_domain(domain_of(house.store, account)), of_domain(99_999)
    made = add(house, work, actor=own)
    database, tx = house.store.database, house.store.tx
    with pytest.raises(NoSuchAccount):
        run(calendars.add_calendar(tx, stranger, account.id, "x"))
    with pytest.raises(NoSuchAccount):
        run(calendars.list_calendars(database, stranger, account.id, limit=1))
    for attempt in (
        calendars.show_calendar(database, stranger, work.id),
        calendars.delete_calendar(tx, stranger, work.id),
        calendar_events.add_event(hands(house), stranger, work.id, text(uid="y")),
        calendar_events.list_happenings(hands(house), stranger, work.id, 0, 1, None, 1),
    ):
        with pytest.raises(NoSuchCalendar):
            run(attempt)  # type: ignore[arg-type]
    for attempt in (
        calendar_events.show_event(database, stranger, made.id),
        calendar_events.event_text(hands(house), stranger, made.id),
        calendar_events.replace_event(hands(house), stranger, made.id, text()),
        calendar_events.delete_event(tx, stranger, made.id),
    ):
        with pytest.raises(NoSuchEvent):
            run(attempt)  # type: ignore[arg-type]
    run(calendar_events.delete_event(tx, own, made.id))
    with pytest.raises(NoSuchCalendar):
        run(calendar_events.restore_event(tx, stranger, made.id))
    assert actions(house.store) == ["calendar.add", "event.add", "event.delete"]


def test_an_event_is_what_its_text_says(house: House, work: Calendar) -> None:
    octets = text("DTEND:20260302T100000Z", "RRULE:FREQ=DAILY;COUNT=2", summary="Stand-up")
    made = add(house, work, octets)
    assert (made.uid, made.summary, made.starts_us, made.ends_us, made.recurring, made.all_day) == (
        "u@example.org", "Stand-up", us(2026, 3, 2, 9), us(2026, 3, 3, 10), True, False,
    )  # fmt: skip
    assert keys.is_calendar_key(made.object_key)
    assert objects(house) == {made.object_key}
    assert made.sha256 == hashlib.sha256(octets).digest()
    assert run(calendar_events.event_text(hands(house), OPERATOR, made.id)) == octets
    assert run(calendar_events.show_event(house.store.database, OPERATOR, made.id)) == made
    assert actions(house.store) == ["calendar.add", "event.add", "event.read"]
    with pytest.raises(AlreadyExists):
        add(house, work, text("DTEND:20260302T100000Z"))


def test_what_is_refused_leaves_nothing_behind_for_long(house: House, work: Calendar) -> None:
    with pytest.raises(Invalid):
        add(house, work, b"no calendar")
    assert (objects(house), dropped(house)) == (set(), set())
    made = add(house, work)
    with pytest.raises(AlreadyExists):
        add(house, work)
    assert len(objects(house)) == 2
    assert dropped(house) == objects(house) - {made.object_key}


def test_a_replaced_text_is_dropped(house: House, work: Calendar) -> None:
    made, other = add(house, work), add(house, work, text(uid="other"))
    changed = run(calendar_events.replace_event(hands(house), OPERATOR, made.id, text(summary="later")))
    assert (changed.id, changed.summary, changed.created_us) == (made.id, "later", made.created_us)
    assert changed.updated_us > made.updated_us
    assert dropped(house) == {made.object_key}
    with pytest.raises(AlreadyExists):
        run(calendar_events.replace_event(hands(house), OPERATOR, made.id, text(uid="other")))
    assert run(calendar_events.show_event(house.store.database, OPERATOR, other.id)) == other


def test_a_deleted_event_comes_back(house: House, work: Calendar) -> None:
    made = add(house, work)
    run(calendar_events.delete_event(house.store.tx, OPERATOR, made.id))
    with pytest.raises(NoSuchEvent):
        run(calendar_events.show_event(house.store.database, OPERATOR, made.id))
    with pytest.raises(NoSuchEvent):
        run(calendar_events.delete_event(house.store.tx, OPERATOR, made.id))
    second = add(house, work)
    with pytest.raises(AlreadyExists):
        run(calendar_events.restore_event(house.store.tx, OPERATOR, made.id))
    run(calendar_events.delete_event(house.store.tx, OPERATOR, second.id))
    assert run(calendar_events.restore_event(house.store.tx, OPERATOR, made.id)) == made
    with pytest.raises(NoSuchEvent):
        run(calendar_events.restore_event(house.store.tx, OPERATOR, made.id))
    assert dropped(house) == set()


def test_of_two_that_add_one_uid_at_once_one_is_refused(house: House, work: Calendar) -> None:
    both = together(*(calendar_events.add_event(hands(house), OPERATOR, work.id, text()) for _ in range(2)))
    assert sorted(type(each).__name__ for each in both) == ["AlreadyExists", "Event"]


def test_what_happens_is_told_in_order_and_by_page(house: House, work: Calendar) -> None:
    weekly = calendar(
        event("RRULE:FREQ=WEEKLY", "DURATION:PT1H", uid="w", summary="weekly"),
        event(
            "RECURRENCE-ID:20260316T090000Z",
            "DURATION:PT1H",
            uid="w",
            start="DTSTART:20260317T120000Z",
            summary="moved",
        ),
    )
    ids = {
        "weekly": add(house, work, weekly).id,
        "once": add(
            house, work, text("DTEND:20260310T100000Z", uid="o", start="DTSTART:20260310T090000Z", summary="once")
        ).id,
        "long": add(
            house, work, text("DTEND:20260501T000000Z", uid="l", start="DTSTART:20260101T000000Z", summary="long")
        ).id,
        "twin": add(house, work, text("RRULE:FREQ=WEEKLY", uid="t", summary="twin")).id,
        "over": add(house, work, text("RRULE:FREQ=DAILY;COUNT=2", uid="c", start="DTSTART:20260101T090000Z")).id,
    }
    add(house, work, text(uid="deleted", start="DTSTART:20260310T090000Z"))
    gone = house.store.count("SELECT MAX(id) FROM calendar_events")
    run(calendar_events.delete_event(house.store.tx, OPERATOR, gone))
    window = (us(2026, 3, 9), us(2026, 3, 24))
    found = happenings(house, work, *window)
    assert [(each.summary, each.starts_us) for each in found] == [
        ("long", us(2026, 1, 1)),
        ("weekly", us(2026, 3, 9, 9)),
        ("twin", us(2026, 3, 9, 9)),
        ("once", us(2026, 3, 10, 9)),
        ("twin", us(2026, 3, 16, 9)),
        ("moved", us(2026, 3, 17, 12)),
        ("weekly", us(2026, 3, 23, 9)),
        ("twin", us(2026, 3, 23, 9)),
    ]
    assert {each.event for each in found} == {ids[name] for name in ("weekly", "once", "long", "twin")}
    assert found[5].recurrence_us == us(2026, 3, 16, 9)
    for limit in (1, 2, 3, 7, 8):
        assert happenings(house, work, *window, limit) == found
    assert happenings(house, work, window[1], window[0]) == []
    assert [each.summary for each in happenings(house, work, us(2026, 4, 30, 23), us(2026, 5, 1, 1))] == ["long"]
    assert happenings(house, work, us(9999, 12, 30), us(9999, 12, 31)) == []


def test_a_rule_that_never_comes_does_not_hold_up_the_others(house: House, work: Calendar) -> None:
    add(house, work, text("RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"))
    assert len(happenings(house, work, us(2026, 1, 1), us(2027, 1, 1))) == 1
    with pytest.raises(LimitReached):
        happenings(house, work, us(2026, 1, 1), us(9999, 1, 1))


def test_a_database_that_does_not_commit_leaves_an_object_that_is_dropped(house: House, work: Calendar) -> None:
    house.store.execute("UPDATE calendars SET deleted_at = 5 WHERE id = %s", work.id)
    with pytest.raises(NoSuchCalendar):
        add(house, work)
    assert (objects(house), dropped(house)) == (set(), set())
    house.store.execute("UPDATE calendars SET deleted_at = 0 WHERE id = %s", work.id)


def test_an_object_that_the_collector_has_taken_is_not_referred_to(house: House, work: Calendar) -> None:
    async def take(key: str) -> None:
        await house.store.database.run("test", calendar_objects.forget_txn, [key])

    class Taken:
        """A store behind which the collector takes what was just put."""

        def put(self, key: str, body: bytes) -> None:
            blockingCallFromThread(reactor, lambda: Deferred.fromCoroutine(take(key)))

    taken: Any = Taken()
    with pytest.raises(Unavailable):
        run(calendar_events.add_event(Hands(house.store.tx, taken, house.pool), OPERATOR, work.id, text()))
    assert house.store.count("SELECT COUNT(*) FROM calendar_events") == 0


# --- what becomes of what is left ---


@pytest.fixture
def yard(house: House) -> Iterator[Yard]:
    with open_yard(house.store, house.objects, undelete_days=30, grace_hours=24) as opened:
        yield opened


def test_only_what_nothing_refers_to_is_collected_a_day_later(house: House, yard: Yard) -> None:
    account = house.store.account()
    work = run(calendars.add_calendar(house.store.tx, OPERATOR, account.id, "Work"))
    kept, replaced = add(house, work), add(house, work, text(uid="r"))
    run(calendar_events.replace_event(hands(house), OPERATOR, replaced.id, text(uid="r", summary="new")))
    with pytest.raises(AlreadyExists):
        add(house, work)
    now = objects(house)
    assert len(now) == 4
    yard.later(hours=23)
    yard.collect()
    assert objects(house) == now
    yard.later(hours=2)
    assert yard.collect().counts["event object deleted"] == 2
    current = run(calendar_events.show_event(house.store.database, OPERATOR, replaced.id))
    assert objects(house) == {kept.object_key, current.object_key}
    assert house.store.count("SELECT COUNT(*) FROM calendar_objects") == 2


def test_a_deleted_event_and_calendar_go_when_they_can_no_longer_be_restored(house: House, yard: Yard) -> None:
    account = house.store.account()
    work, home = (run(calendars.add_calendar(house.store.tx, OPERATOR, account.id, name)) for name in ("Work", "Home"))
    event_, kept = add(house, work), add(house, work, text(uid="kept"))
    add(house, home)
    run(calendar_events.delete_event(house.store.tx, OPERATOR, event_.id))
    run(calendars.delete_calendar(house.store.tx, OPERATOR, home.id))
    yard.later(days=29)
    assert not yard.collect().counts
    yard.later(days=2)
    assert yard.collect().counts["event"] == 2
    assert house.store.count("SELECT COUNT(*) FROM calendars") == 1
    # What was dropped by this was dropped now, by the database's own clock.
    house.store.execute("UPDATE calendar_objects SET dropped_at = 1 WHERE dropped_at > 0")
    yard.collect()
    assert objects(house) == {kept.object_key}


def test_calendars_go_with_their_account(house: House, yard: Yard) -> None:
    account, other = house.store.account(), house.store.account()
    work, theirs = (run(calendars.add_calendar(house.store.tx, OPERATOR, each.id, "Work")) for each in (account, other))
    made, kept = add(house, work), add(house, theirs)
    run(accounts.delete_account(house.store.tx, OPERATOR, account.id))
    with pytest.raises(NoSuchEvent):
        run(calendar_events.show_event(house.store.database, OPERATOR, made.id))
    with pytest.raises(NoSuchCalendar):
        add(house, work, text(uid="y"))
    yard.later(days=31)
    yard.collect()
    assert (
        house.store.count("SELECT COUNT(*) FROM calendar_events")
        == house.store.count("SELECT COUNT(*) FROM calendars")
        == 1
    )
    house.store.execute("UPDATE calendar_objects SET dropped_at = 1 WHERE dropped_at > 0")
    yard.collect()
    assert objects(house) == {kept.object_key}


def test_nothing_is_collected_of_a_frozen_store(house: House, yard: Yard) -> None:
    account = house.store.account()
    work = run(calendars.add_calendar(house.store.tx, OPERATOR, account.id, "Work"))
    made = add(house, work)
    run(calendar_events.replace_event(hands(house), OPERATOR, made.id, text(summary="new")))
    house.store.execute("UPDATE calendar_objects SET dropped_at = 1 WHERE dropped_at > 0")
    yard.frozen = True
    yard.collect()
    assert len(objects(house)) == 2


# --- verify ---


def repaired(house: House, kind: str, **options: Any) -> None:
    """Verify finds just that, and a repair does what is promised."""
    assert kinds(house, **options) == {kind}
    report, _ = house.verify(mending=True, **options)
    assert report.counts[kind] == (1, int(CHECKS[kind].mends is not None))


def test_a_text_that_is_gone_or_damaged_is_found(house: House, work: Calendar) -> None:
    made = add(house, work)
    octets = house.objects.read(made.object_key, 0, 1 << 20)
    house.objects.delete([made.object_key])
    repaired(house, "event-absent")
    (finding,) = [each for each in house.verify()[1] if each.kind == "event-absent"]
    assert (finding.account, finding.key, dict(finding.more)) == (work.address, made.object_key, {"event": made.id})
    house.objects.put(made.object_key, octets.replace(b"SUMMARY:x", b"SUMMARY:y"))
    assert kinds(house) == set()
    repaired(house, "event-damaged", deep=True)
    with pytest.raises(Corruption):
        run(calendar_events.event_text(hands(house), OPERATOR, made.id))
    house.objects.put(made.object_key, octets)


def test_a_text_that_is_dropped_though_it_is_referred_to_is_kept(house: House, work: Calendar) -> None:
    made = add(house, work)
    house.store.execute("UPDATE calendar_objects SET dropped_at = 1")
    repaired(house, "event-object-not-kept")
    assert kinds(house, account=work.account) == set()
    house.store.execute("DELETE FROM calendar_objects")
    assert kinds(house, account=work.account) == {"event-object-not-kept"}
    assert house.verify(mending=True)[0].clean
    assert dropped(house) == set()
    assert (
        house.store.count("SELECT COUNT(*) FROM calendar_objects WHERE object_key = %s", made.object_key.encode()) == 1
    )


def test_a_text_that_nothing_refers_to_is_left_to_the_collector(house: House, work: Calendar) -> None:
    made = add(house, work)
    house.store.execute("DELETE FROM calendar_events")
    repaired(house, "event-object-leftover")
    assert dropped(house) == {made.object_key}
    born_us = int(datetime.now(UTC).timestamp() * 1_000_000)
    old, young = (keys.new_calendar_key(born_us - age_us) for age_us in (2 * DAY_US, HOUR_US))
    for key in (old, young):
        house.objects.put(key, b"x")
    repaired(house, "event-object-leftover")
    assert dropped(house) == {made.object_key, old}
    house.objects.put("calendars/mine", b"x")
    repaired(house, "foreign-key")
    house.objects.delete(["calendars/mine", young])


def test_repairs_leave_alone_what_a_frozen_store_may_have_lost(house: House, work: Calendar) -> None:
    key = keys.new_calendar_key(int(datetime.now(UTC).timestamp() * 1_000_000) - 2 * DAY_US)
    house.objects.put(key, b"x")
    house.store.execute("UPDATE collection SET frozen_at = 1 WHERE id = 1")
    try:
        assert house.verify(mending=True)[0].counts["event-object-leftover"] == (1, 0)
        assert dropped(house) == set()
    finally:
        house.store.execute("UPDATE collection SET frozen_at = 0 WHERE id = 1")
    house.objects.delete([key])


def test_a_crowd_is_refused(house: House, account: Account, work: Calendar) -> None:
    insert = "INSERT INTO calendars (account, name, created_at) VALUES (%s, %s, 1)"
    for number in range(calendars.CALENDARS_BOUND - 1):
        house.store.execute(insert, account.id, b"%d" % number)
    with pytest.raises(LimitReached):
        run(calendars.add_calendar(house.store.tx, OPERATOR, account.id, "one more"))


def test_a_key_has_its_row_before_its_object_is_put(house: House, work: Calendar) -> None:
    seen: list[int] = []

    class Watched:
        def put(self, key: str, body: bytes) -> None:
            seen.append(len(objects(house)))
            raise Unavailable

    watched: Any = Watched()
    with pytest.raises(Unavailable):
        run(calendar_events.add_event(Hands(house.store.tx, watched, house.pool), OPERATOR, work.id, text()))
    assert (seen, len(dropped(house))) == ([0], 1)
