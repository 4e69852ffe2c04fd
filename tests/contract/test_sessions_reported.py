"""Sessions are told of across processes by their differences, and end wherever they are: all that should, no others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from lightmail.errors import NoSuchAccount, NoSuchSession
from lightmail.jobs.sessions import Endings, Reports, this_process
from lightmail.model import Account, AccountId
from lightmail.operations import sessions as operations
from lightmail.operations.domains import add_domain
from lightmail.sessions import DISMISSED, About, Sessions
from lightmail.store import sessions as stored
from lightmail.store.sessions import Chosen, Listed
from lightmail.web.api.scopes import Scope
from tests.support.actors import OPERATOR, of_domain
from tests.support.apikit import TOKEN, serve_api
from tests.support.reactor import run
from tests.support.storekit import BACKENDS, Store, fresh_config, open_store

ANYTHING = 1 << 62


class Talk:
    """A session that a test lets log in, and that ends when it is told to unless it is `stubborn`."""

    def __init__(self, registry: Sessions[Talk], id: str, account: AccountId | None = None) -> None:
        self.id = id
        self.client = ""
        self.account = account
        self.logged_in = account is not None
        self.stubborn = False
        self.told: list[str] = []
        self._registry = registry
        registry.opened(self)

    @property
    def phase(self) -> str:
        return "authenticated" if self.logged_in else "login"

    def about(self) -> About | None:
        return About(self.account, "192.0.2.7", True, self.client) if self.logged_in else None

    def drain(self, why: str) -> None:
        self.told.append(why)
        if not self.stubborn:
            self.close()

    def abort(self) -> None:
        self.told.append("abort")
        self.close()

    def close(self) -> None:
        self._registry.closed(self)


class Server:
    """A process with the sessions of one protocol."""

    def __init__(self, store: Store) -> None:
        self.clock: Any = Clock()
        self.process = this_process()
        self.sessions: Sessions[Talk] = Sessions("imap", reactor=self.clock)
        self._database = store.database
        self.start()

    def start(self) -> None:
        self._reports = Reports(self._database, self.process, [self.sessions], reactor=self.clock)
        self._endings = Endings(self._database, self.process, [self.sessions], reactor=self.clock)
        self.look()

    def report(self) -> None:
        run(self._reports.report())

    def look(self) -> None:
        run(self._endings.look())

    def leave(self) -> None:
        run(self._reports.leave())


@pytest.fixture(scope="module", params=BACKENDS)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    directory: Path = tmp_path_factory.mktemp("sessions")
    with fresh_config(request.param, directory) as config, open_store(config) as opened:
        yield opened


@pytest.fixture
def store(shared: Store) -> Store:
    for table in ("processes", "sessions", "session_ends"):
        shared.execute(f"DELETE FROM {table}")  # noqa: S608
    return shared


def listed(store: Store, **chosen: Any) -> list[Listed]:
    return run(store.database.read("test", stored.list_txn, Chosen(**chosen), ANYTHING, 500))


def names(store: Store, **chosen: Any) -> set[str]:
    return {session.session for session in listed(store, **chosen)}


def grow_old(store: Store, server: Server, seconds: float) -> None:
    store.execute(
        "UPDATE processes SET heartbeat_at = heartbeat_at - %s WHERE id = %s", int(seconds * 1e6), server.process.id
    )


def domain_of(store: Store, account: Account) -> int:
    return store.count("SELECT domain FROM accounts WHERE id = %s", account.id)


def test_what_is_open_is_listed_and_what_has_ended_is_not(store: Store) -> None:
    ada, here, there = store.account(), Server(store), Server(store)
    first, second = Talk(here.sessions, "imap-1", ada.id), Talk(there.sessions, "imap-1", ada.id)
    stranger, relay = Talk(here.sessions, "imap-2"), Talk(there.sessions, "lmtp-1")
    relay.logged_in = True
    here.report()
    there.report()
    found = listed(store)
    assert sorted((session.session, session.account_address) for session in found) == [
        ("imap-1", ada.address),
        ("imap-1", ada.address),
        ("lmtp-1", ""),
    ]
    assert {(session.protocol, session.address, session.secure) for session in found} == {("imap", "192.0.2.7", True)}
    first.close()
    stranger.account, stranger.logged_in, stranger.client = ada.id, True, "Thunderbird 128.0"
    here.report()
    assert names(store, account=ada.id) == {"imap-1", "imap-2"}
    assert {session.client for session in listed(store) if session.session == "imap-2"} == {"Thunderbird 128.0"}
    stranger.client = "Thunderbird 140.0"
    here.report()
    assert {session.client for session in listed(store) if session.session == "imap-2"} == {"Thunderbird 140.0"}
    second.close()
    relay.close()
    stranger.close()
    here.report()
    there.report()
    assert listed(store) == []


def test_a_round_without_differences_writes_nothing_until_a_heartbeat_is_due(store: Store) -> None:
    ada, server = store.account(), Server(store)
    for number in range(700):
        Talk(server.sessions, f"imap-{number}", ada.id)
    server.report()
    assert len(names(store)) == 500, "a page has at most that many"
    assert run(store.database.read("test", stored.count_txn, Chosen())) == 700
    trips = store.trips("sessions")
    for _ in range(2):
        server.clock.advance(5)
        server.report()
    assert store.trips("sessions") == trips
    server.clock.advance(5)
    server.report()
    assert trips < store.trips("sessions") <= trips + 8


def test_lists_are_of_one_domain_one_account_one_page(store: Store) -> None:
    ada, bob, server = store.account(), store.account(), Server(store)
    for number in range(5):
        Talk(server.sessions, f"ada-{number}", ada.id)
    Talk(server.sessions, "bob", bob.id)
    server.report()
    assert names(store, account=bob.id) == {"bob"}
    assert len(names(store, domain=domain_of(store, ada))) == 6
    assert names(store, domain=domain_of(store, ada) + 1000) == set()
    assert names(store, protocol="pop3") == set()
    assert names(store, address="192.0.2.8") == set()
    pages, before = [], ANYTHING
    while page := run(store.database.read("test", stored.list_txn, Chosen(), before, 4)):
        pages += page
        before = page[-1].id
    assert {session.session for session in pages} == names(store)
    assert len(pages) == 6


def test_who_is_silent_is_forgotten_and_comes_back_whole(store: Store) -> None:
    ada, dead, alive = store.account(), Server(store), Server(store)
    Talk(dead.sessions, "imap-1", ada.id)
    dead.report()
    alive.report()
    grow_old(store, dead, 61)
    assert names(store) == set(), "nobody is told of what may not be so"
    alive.clock.advance(15)
    alive.report()
    assert store.count("SELECT COUNT(*) FROM sessions") == 0
    assert [process.id for process, _ in run(store.database.read("test", stored.processes_txn))] == [alive.process.id]
    dead.clock.advance(15)
    dead.report()
    dead.report()
    assert names(store) == {"imap-1"}


def test_who_stops_takes_its_rows_away(store: Store) -> None:
    ada, server = store.account(), Server(store)
    Talk(server.sessions, "imap-1", ada.id)
    server.report()
    server.leave()
    assert store.count("SELECT COUNT(*) FROM sessions") == 0
    assert store.count("SELECT COUNT(*) FROM processes") == 0


def test_one_session_is_ended_where_it_is(store: Store) -> None:
    ada, here, there = store.account(), Server(store), Server(store)
    wanted, namesake = Talk(there.sessions, "imap-1", ada.id), Talk(here.sessions, "imap-1", ada.id)
    there.report()
    row = listed(store)[0].id
    here.report()
    run(operations.end_session(store.tx, OPERATOR, row))
    for server in (here, there, here, there):
        server.look()
    assert (wanted.told, namesake.told) == ([DISMISSED], [])
    audited = store.rows("SELECT action, subject FROM audit_log ORDER BY id DESC LIMIT 1")
    assert list(audited) == [(b"session.end", ada.address.encode())]
    with pytest.raises(NoSuchSession):
        run(operations.end_session(store.tx, OPERATOR, row + 1000))


def test_an_account_that_ends_takes_its_sessions_along_those_that_are_logging_in_too(store: Store) -> None:
    ada, bob, server = store.account(), store.account(), Server(store)
    old, other = Talk(server.sessions, "old", ada.id), Talk(server.sessions, "other", bob.id)
    during, never, gone = (Talk(server.sessions, name) for name in ("during", "never", "gone"))
    run(operations.end_account_sessions(store.tx, OPERATOR, ada.id))
    server.look()
    assert (old.told, other.told, during.told) == ([DISMISSED], [], [])
    late = Talk(server.sessions, "late", ada.id)  # its login read the account after the change
    during.account, during.logged_in = ada.id, True
    never.account, never.logged_in = bob.id, True
    gone.close()
    server.look()
    assert during.told == [DISMISSED], "its login may have read the account before the change"
    never.account = ada.id
    server.look()
    assert (never.told, late.told, gone.told, other.told) == ([], [], [], [])


def test_a_wish_that_becomes_visible_late_is_still_carried_out_and_once(store: Store) -> None:
    ada, server = store.account(), Server(store)
    server.look()
    stubborn = Talk(server.sessions, "imap-1", ada.id)
    stubborn.stubborn = True
    run(operations.end_account_sessions(store.tx, OPERATOR, ada.id))
    store.execute("UPDATE session_ends SET requested_at = requested_at - 30000000")
    server.look()
    server.look()
    assert stubborn.told == [DISMISSED]
    server.clock.advance(31)
    server.look()
    assert stubborn.told == [DISMISSED, "abort"]


def test_what_was_wished_before_a_process_began_does_not_concern_it(store: Store) -> None:
    ada, server = store.account(), Server(store)
    run(operations.end_account_sessions(store.tx, OPERATOR, ada.id))
    server.start()
    talk = Talk(server.sessions, "imap-1", ada.id)
    server.look()
    assert talk.told == []


def test_another_domains_sessions_do_not_exist(store: Store) -> None:
    ada, server = store.account(), Server(store)
    talk = Talk(server.sessions, "imap-1", ada.id)
    server.report()
    row = listed(store)[0].id
    domain = domain_of(store, ada)
    stranger = of_domain(domain + 1)
    with pytest.raises(NoSuchSession):
        run(operations.end_session(store.tx, stranger, row))
    with pytest.raises(NoSuchAccount):
        run(operations.end_account_sessions(store.tx, stranger, ada.id))
    server.look()
    assert talk.told == []
    run(operations.end_session(store.tx, of_domain(domain), row))
    server.look()
    assert talk.told == [DISMISSED]


def test_the_api_lists_and_ends_what_its_caller_administers(store: Store) -> None:
    ada, bob, server = store.account(), store.account(), Server(store)
    for number in range(3):
        Talk(server.sessions, f"ada-{number}", ada.id).client = "Thunderbird\n\x1b[2J"
    bobs = Talk(server.sessions, "bob", bob.id)
    server.report()
    run(add_domain(store.tx, OPERATOR, "example.net"))
    other = store.count("SELECT id FROM domains WHERE name = %s", b"example.net")
    with serve_api(store) as api:
        own, others = api.token(domain=domain_of(store, ada)), api.token(domain=other)
        for token in (TOKEN, own):
            found = api.get("/admin/sessions", token=token).json
            assert (found["total"], len(found["items"])) == (4, 4)
        shown = api.get("/admin/sessions", {"account_id": ada.id, "limit": 2}).json
        assert [item["account"] for item in shown["items"]] == [ada.address] * 2
        assert shown["items"][0]["client"] == "Thunderbird??[2J"
        rest = api.get("/admin/sessions", {"account_id": ada.id, "cursor": shown["next_cursor"]}).json
        assert [len(rest["items"]), rest["next_cursor"]] == [1, None]
        row = api.get("/admin/sessions", {"account_id": bob.id}).json["items"][0]["id"]
        assert api.get("/admin/sessions", token=others).json["items"] == []
        assert api.delete(f"/admin/sessions/{row}", token=others).code == "no_such_session"
        assert api.delete(f"/admin/accounts/{bob.id}/sessions", token=others).code == "no_such_account"
        assert api.delete(f"/admin/sessions/{row}", token=own).status == 204
        assert api.delete(f"/admin/accounts/{ada.id}/sessions").status == 204
        reader = api.token(Scope.SESSIONS_READ)
        assert api.delete(f"/admin/sessions/{row}", token=reader).code == "scope_missing"
    server.look()
    assert bobs.told == [DISMISSED]
    assert len(server.sessions) == 0
