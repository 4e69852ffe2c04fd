"""The contract of a Database, over every kind: transactions, reads, waiting, and what is said when it cannot serve."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock, deferLater
from twisted.logger import LogEvent, globalLogPublisher

from lightmail.config import DatabaseConfig
from lightmail.errors import StartupError, Unavailable
from lightmail.store import migrations
from lightmail.store.cursor import Cursor
from lightmail.store.database import Database, open_database
from lightmail.store.faults import DuplicateKey
from lightmail.store.gate import Gate
from lightmail.store.sqltext import NOW_US, padded, pieces, uid_conditions, with_list, with_rows
from tests.support import mariadb
from tests.support.reactor import call, run
from tests.support.storekit import BACKENDS, Store, fresh_config, open_store, together

INSERT = "INSERT INTO domains (name, created_at) VALUES (%s, 1)"
COUNT = "SELECT COUNT(*) FROM domains WHERE name = %s"


@pytest.fixture(scope="module", params=BACKENDS)
def config(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseConfig]:
    with fresh_config(request.param, tmp_path_factory.mktemp("rows")) as made:
        yield made


@pytest.fixture(scope="module")
def store(config: DatabaseConfig) -> Iterator[Store]:
    with open_store(config) as opened:
        yield opened


def insert(cursor: Cursor, name: bytes, error: BaseException | None = None) -> str:
    cursor.execute(INSERT, (name,))
    if error is not None:
        raise error
    return "done"


def started(config: DatabaseConfig, action: str) -> Any:
    """What `check` or `migrate` of a database just opened gives."""

    async def scenario() -> Any:
        database = open_database(config)
        await database.start()
        try:
            return await getattr(database, action)()
        finally:
            await database.stop()

    return run(scenario())


# --- transactions and reads ---


def test_a_transaction_is_committed_whole_or_not_at_all(store: Store) -> None:
    assert run(store.database.run("test", insert, b"whole")) == "done"
    with pytest.raises(ZeroDivisionError):
        run(store.database.run("test", insert, b"not", ZeroDivisionError()))
    assert store.count(COUNT, b"whole") == 1
    assert store.count(COUNT, b"not") == 0


def test_a_duplicate_key_leaves_the_transaction_usable(store: Store) -> None:
    def write(cursor: Cursor) -> None:
        cursor.execute(INSERT, (b"first",))
        with pytest.raises(DuplicateKey):
            cursor.execute(INSERT, (b"first",))
        cursor.execute(INSERT, (b"second",))

    run(store.database.run("test", write))
    assert store.count(COUNT, b"first") == store.count(COUNT, b"second") == 1


def test_a_script_stops_at_the_statement_that_fails(store: Store) -> None:
    def write(cursor: Cursor) -> None:
        with pytest.raises(DuplicateKey):
            cursor.script([(INSERT, (b"s1",)), (INSERT, (b"s1",)), (INSERT, (b"s2",))])

    run(store.database.run("test", write))
    assert store.count(COUNT, b"s1") == 1
    assert store.count(COUNT, b"s2") == 0


def test_a_script_answers_every_statement(store: Store) -> None:
    def write(cursor: Cursor) -> list[tuple[int, list[Any]]]:
        results = cursor.script(
            [
                (INSERT, (b"r%1",)),
                ("UPDATE domains SET created_at = 1 WHERE name = %s", (b"r%1",)),
                ("SELECT name, created_at FROM domains WHERE name IN (%s, %s)", (b"r%1", b"none")),
                ("DELETE FROM domains WHERE name = %s", (b"none",)),
            ]
        )
        return [(result.rowcount, list(result.rows)) for result in results]

    found = run(store.database.run("test", write))
    assert found == [(1, []), (1, []), (1, [(b"r%1", 1)]), (0, [])], "rows found count, changed or not"


def test_what_goes_first_travels_with_the_next_statement_and_is_checked(store: Store) -> None:
    seen: list[int] = []

    def write(cursor: Cursor, expected: int) -> None:
        def check(count: int) -> None:
            seen.append(count)
            if count != expected:
                raise LookupError

        cursor.first("UPDATE domains SET created_at = 2 WHERE name = %s", (b"nobody",), check)
        cursor.script([(INSERT, (b"after%d" % expected,)), ("SELECT 1", ())])

    trips = store.trips("first")
    run(store.database.run("first", write, 0))
    if store.database.dialect == "mysql":
        assert store.trips("first") - trips == 2, "BEGIN and the first statement with the script, then COMMIT"
    with pytest.raises(LookupError):
        run(store.database.run("first", write, 1))
    assert seen == [0, 0]
    assert store.count(COUNT, b"after0") == 1
    assert store.count(COUNT, b"after1") == 0


def test_values_of_every_kind_come_back(store: Store) -> None:
    value = bytes(range(256)) * 300 + b"'\"\\%s;--"

    def write(cursor: Cursor) -> Any:
        cursor.execute(
            "INSERT INTO leases (name, owner, fence, expires_at) VALUES (%s, %s, %s, %s)", (b"k", b"", -5, 1 << 62)
        )
        cursor.execute(
            "INSERT INTO audit_log (happened_at, actor, action, subject, detail) VALUES (1, '', '', '', %s)",
            (value[:65535],),
        )
        cursor.execute("SELECT fence, expires_at FROM leases WHERE name = %s", (b"k",))
        numbers = cursor.fetchone()
        cursor.execute("SELECT detail FROM audit_log WHERE happened_at = 1")
        return numbers, cursor.fetchone(), cursor.fetchone()

    assert run(store.database.run("test", write)) == ((-5, 1 << 62), (value[:65535],), None)


def test_trailing_spaces_and_case_tell_names_apart(store: Store) -> None:
    for name in (b"pad", b"pad ", b"PAD"):
        run(store.database.run("test", insert, name))
        assert store.count(COUNT, name) == 1


def test_readers_do_not_write(store: Store) -> None:
    if store.database.dialect == "sqlite":
        with pytest.raises(Unavailable):
            run(store.database.read("test", insert, b"sneaky"))
        assert store.count(COUNT, b"sneaky") == 0


def test_many_at_once_each_get_their_own_answer(store: Store) -> None:
    outcomes = together(
        *(
            store.database.run("test", insert, b"many%d" % number, ValueError(number) if number % 3 == 0 else None)
            for number in range(100)
        )
    )
    for number, outcome in enumerate(outcomes):
        if number % 3 == 0:
            assert isinstance(outcome, ValueError)
            assert outcome.args == (number,)
        else:
            assert outcome == "done"
        assert store.count(COUNT, b"many%d" % number) == (number % 3 != 0)


def test_the_clock_is_the_databases_own(store: Store) -> None:
    def read(cursor: Cursor) -> int:
        cursor.execute(f"SELECT {NOW_US} FROM store")  # noqa: S608
        row = cursor.fetchone()
        assert row is not None
        return int(row[0])

    assert abs(run(store.database.read("test", read)) - time.time_ns() // 1000) < 5_000_000


# --- waiting ---


def test_the_gate_bounds_number_and_time() -> None:
    clock = Clock()
    gate = Gate(1, waiting=2, wait_seconds=5, reactor=clock)
    order: list[str] = []

    async def visit(name: str) -> None:
        await gate.enter()
        order.append(name)

    visits = [Deferred.fromCoroutine(visit(name)) for name in ("in", "waits", "cancelled", "full")]
    failures: list[Any] = []
    visits[3].addErrback(failures.append)
    assert failures[0].check(Unavailable)
    visits[2].addErrback(failures.append)
    visits[2].cancel()
    Deferred.fromCoroutine(visit("late")).addErrback(failures.append)
    gate.leave()
    assert order == ["in", "waits"]
    clock.advance(5.1)
    assert failures[-1].check(Unavailable)
    drained: list[None] = []
    Deferred.fromCoroutine(gate.drained()).addCallback(drained.append)
    assert drained == []
    gate.leave()
    assert drained == [None]
    assert clock.getDelayedCalls() == []


def test_more_readers_than_connections_wait_and_are_served(store: Store) -> None:
    held = threading.Event()
    inside: list[int] = []

    def read(cursor: Cursor, number: int) -> int:
        inside.append(number)
        held.wait(10)
        return number

    async def scenario() -> list[Any]:
        calls = [Deferred.fromCoroutine(store.database.read("test", read, number)) for number in range(30)]
        await deferLater(reactor, 0.1)
        held.set()
        return list(await gatherResults(calls))

    assert run(scenario()) == list(range(30))
    assert sorted(inside) == list(range(30))


def test_stop_waits_for_what_runs_and_then_refuses(config: DatabaseConfig) -> None:
    begun = threading.Event()

    def slow(cursor: Cursor) -> str:
        begun.set()
        threading.Event().wait(0.2)
        cursor.execute("SELECT 1")
        return "finished"

    async def scenario() -> list[Any]:
        database = open_database(config)
        await database.start()
        await database.migrate()
        running = [
            Deferred.fromCoroutine(database.read("test", slow)),
            Deferred.fromCoroutine(database.run("test", slow)),
        ]
        while not begun.is_set():
            await deferLater(reactor, 0.005)
        await database.stop()
        results = list(await gatherResults(running))
        for late in (database.read, database.attempt):
            with pytest.raises(Unavailable):
                await late("test", slow)
        return results

    assert run(scenario()) == ["finished", "finished"]


# --- migrations and start-up ---


def test_migrations_run_once_and_from_the_start_again(config: DatabaseConfig, tmp_path: Path) -> None:
    kind = "sqlite" if config.driver == "sqlite" else "mariadb"
    with fresh_config(kind, tmp_path) as empty:
        if kind == "mariadb":
            with pytest.raises(StartupError, match="lightmail migrate"):
                started(empty, "check")
        names = [migration.name for migration in migrations.all_migrations(empty.driver)]
        assert started(empty, "migrate") == names
        assert started(empty, "migrate") == []
        started(empty, "check")
        with open_store(empty) as store:
            # What a migration that broke off half way leaves behind on MySQL, where DDL commits itself.
            store.execute("UPDATE store SET schema_version = 0")
        with pytest.raises(StartupError, match=r"schema version 0, this release needs \d+: run `lightmail migrate`"):
            started(empty, "check")
        assert started(empty, "migrate") == names
        with open_store(empty) as store:
            store.execute("UPDATE store SET schema_version = 999")
        for action in ("check", "migrate"):
            with pytest.raises(StartupError, match="install a newer lightmail"):
                started(empty, action)


def test_both_dialects_have_the_same_migrations_and_tables() -> None:
    def shape(dialect: str) -> list[tuple[str, set[str]]]:
        found = []
        for migration in migrations.all_migrations(dialect):
            tables = {s.split()[5] for s in migration.statements if s.startswith("CREATE TABLE")}
            found.append((migration.name, tables))
        return found

    assert shape("mysql") == shape("sqlite")


def one_line(config: DatabaseConfig) -> str:
    with pytest.raises(StartupError) as caught:
        started(config, "check")
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_sqlite_file_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    missing = DatabaseConfig(driver="sqlite", path=str(tmp_path / "none" / "x.sqlite"))
    assert "run `lightmail migrate`" in one_line(missing)
    with pytest.raises(StartupError, match="unable to open"):
        started(missing, "migrate")
    broken = tmp_path / "broken.sqlite"
    broken.write_bytes(b"this is no database" * 1000)
    assert "not a database" in one_line(replace(missing, path=str(broken)))
    empty = tmp_path / "empty.sqlite"
    empty.touch()
    assert "run `lightmail migrate`" in one_line(replace(missing, path=str(empty)))


@pytest.fixture(scope="module")
def server() -> mariadb.Server:
    if not mariadb.available():
        pytest.skip("no MariaDB: install Debian's mariadb-server")
    return mariadb.server()


# PyMySQL leaves the socket of a connect that failed to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_wrong_credentials_and_places_are_one_line_each(server: mariadb.Server, tmp_path: Path) -> None:
    with fresh_config("mariadb", tmp_path) as good:
        started(good, "migrate")
        tcp = replace(good, socket=None)
        started(tcp, "check")
        assert "wrong user or password" in one_line(replace(good, password="wrong"))
        assert "wrong user or password" in one_line(replace(tcp, user="nobody"))
        assert "there is no such database" in one_line(replace(good, database="lm_none"))
        assert "cannot be reached" in one_line(replace(good, socket=str(tmp_path / "none")))
        assert "cannot be reached" in one_line(replace(tcp, port=1))
        assert "cannot be reached" in one_line(replace(tcp, host="no-such-host.invalid"))
        with server.connect() as admin, admin.cursor() as cursor:
            cursor.execute("CREATE USER IF NOT EXISTS 'reader'@'localhost' IDENTIFIED BY 'reader'")
            cursor.execute(f"GRANT SELECT ON {good.database}.* TO 'reader'@'localhost'")
        assert "lacks a permission" in one_line(replace(good, user="reader", password="reader"))
    gc.collect()


def test_settings_that_may_lose_mail_are_warned_of(server: mariadb.Server, tmp_path: Path) -> None:
    events: list[LogEvent] = []
    with fresh_config("mariadb", tmp_path) as good, server.connect() as admin, admin.cursor() as cursor:
        started(good, "migrate")
        call(globalLogPublisher.addObserver, events.append)
        try:
            started(good, "check")
            assert not [event for event in events if event["log_level"].name == "warn"]
            cursor.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 2")
            started(good, "check")
        finally:
            cursor.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 1")
            call(globalLogPublisher.removeObserver, events.append)
    warned = [event for event in events if event["log_level"].name == "warn"]
    assert len(warned) == 1
    assert "innodb_flush_log_at_trx_commit" in warned[0]["log_format"]


def test_a_server_that_is_down_is_unavailable_not_an_exception_of_the_driver(server: mariadb.Server) -> None:
    async def scenario(database: Database) -> None:
        await database.start()
        try:
            for way in (database.read, database.attempt, database.run):
                with pytest.raises(Unavailable):
                    await way("test", lambda cursor: cursor.execute("SELECT 1"))
        finally:
            await database.stop()

    run(scenario(open_database(server.config("none", socket=None, port=1))))
    run(scenario(open_database(server.config("none"))))


# --- the texts ---


def test_lists_are_padded_and_cut() -> None:
    assert list(padded([1, 2, 3])) == [1, 2, 3, 3]
    assert list(padded([1])) == [1]
    with pytest.raises(ValueError, match="empty"):
        padded([])
    assert [list(piece) for piece in pieces(range(5), 2)] == [[0, 1], [2, 3], [4]]
    assert with_list("x IN ({list}) AND y = %s", 2) == "x IN (%s, %s) AND y = %s"
    assert with_rows("INSERT INTO t (a, b) VALUES (%s, %s)", 2) == "INSERT INTO t (a, b) VALUES (%s, %s), (%s, %s)"


@pytest.mark.parametrize(
    "uids",
    [[1], list(range(1, 10_001)), list(range(1, 10_001, 2)), [*range(1, 300), 500, 502, *range(600, 900), 1000]],
)
def test_uid_conditions_cover_exactly_in_ascending_order(uids: list[int]) -> None:
    covered: list[int] = []
    conditions = uid_conditions(uids)
    for condition, params in conditions:
        numbers = range(params[0], params[1] + 1) if "BETWEEN" in condition else dict.fromkeys(params)
        covered.extend(numbers)
        assert len(params) <= 1024
    assert covered == uids
    assert len(conditions) <= 1 + len(uids) // 128
