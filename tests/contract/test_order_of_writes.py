"""The order of writes (design, section 5), where no other suite holds it: what each rule prevents, made to happen.

docs/order-of-writes.md says of every sentence which test attacks it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pymysql
import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from lightmail.config import DatabaseConfig
from lightmail.errors import Unavailable
from lightmail.model import MailboxId, ObjectState
from lightmail.operations.append import Appended, NewMessage, append
from lightmail.operations.copy import copy, move, transfer_txn
from lightmail.operations.mailboxes import delete, rename
from lightmail.operations.transactions import Transactions
from lightmail.store import accounts, collection
from lightmail.store.cursor import Cursor
from lightmail.store.database import open_database
from lightmail.store.faults import DuplicateKey, LostLink
from lightmail.store.mysql_link import translated
from lightmail.store.sqltext import with_rows
from tests.support import mariadb
from tests.support.reactor import run
from tests.support.storekit import BACKENDS, NOW_US, Heard, Store, blob, fresh_config, open_store

NONE: tuple[bytes, ...] = ()


@pytest.fixture(scope="module", params=BACKENDS)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with fresh_config(request.param, tmp_path_factory.mktemp("rows")) as config, open_store(config) as opened:
        yield opened


@pytest.fixture(scope="module")
def maria(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with fresh_config("mariadb", tmp_path_factory.mktemp("rows")) as config, open_store(config) as opened:
        yield opened


def name_of(store: Store) -> str:
    def read(cursor: Cursor) -> str:
        cursor.execute("SELECT DATABASE()")
        row = cursor.fetchone()
        assert row is not None
        return str(row[0])

    return run(store.database.read("test", read))


@contextmanager
def held(store: Store, sql: str, *params: Any) -> Iterator[Callable[[], None]]:
    """Another client holds the locks of a statement; call what this yields to let go."""
    with mariadb.server().connect(database=name_of(store)) as holder, holder.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(sql, params)
        yield holder.rollback
        holder.rollback()


def waiting() -> int:
    """How many statements wait for a row's lock just now, on the whole server."""
    with mariadb.server().connect() as admin, admin.cursor() as cursor:
        cursor.execute("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'")
        return int(cursor.fetchone()[1])


async def until_waiting(count: int) -> None:
    for _ in range(200):
        if waiting() >= count:
            return
        await deferLater(reactor, 0.01)
    raise AssertionError("nobody waits for the lock")


def test_copy_and_the_collector_lock_objects_in_one_order(maria: Store) -> None:
    account = maria.account()
    inbox = maria.fill(account, "INBOX", [NONE, NONE])
    target = maria.mailbox(account, "Archive").id
    elsewhere = maria.mailbox(account, "Trash").id
    # The later a message came, the older its object: UIDs and objects ascend in opposite directions.
    for uid in (2, 1):
        run(move(maria.tx, account, inbox, [uid], target))
    rows = maria.snapshot(target).rows
    assert rows[0][6] > rows[1][6]
    # As many others as it takes for the server to look objects up by their ids instead of reading all there are.
    maria.fill(account, "Sent", [NONE] * 2000)
    maria.execute("ANALYZE TABLE objects, messages")
    low, high = sorted(row[6] for row in rows)

    async def scenario(release: Callable[[], None]) -> list[Any]:
        copying = Deferred.fromCoroutine(
            maria.database.attempt("copy", transfer_txn, account.id, target, [1, 2], elsewhere, False)
        )
        await until_waiting(1)
        collecting = Deferred.fromCoroutine(
            maria.database.attempt("condemn", collection.lock_txn, [low, high], ObjectState.LIVE)
        )
        await until_waiting(2)
        release()
        return list(await gatherResults([copying, collecting], consumeErrors=True))

    with held(maria, "SELECT id FROM objects WHERE id = %s FOR UPDATE", high) as release:
        copied, _ = run(scenario(release))
    assert copied.value.uids == [1, 2]


def test_a_deleted_account_s_mailboxes_are_locked_in_the_order_of_everybody(maria: Store) -> None:
    account = maria.account()
    inbox = maria.fill(account, "INBOX", [NONE])
    # As many others as it takes for the server to go by the index of names.
    rows = [value for other in range(2_000) for value in (10**9 + other, b"x", 1, 1)]
    maria.execute(
        with_rows("INSERT INTO mailboxes (account, name, uidvalidity, epoch) VALUES (%s, %s, %s, %s)", 2_000), *rows
    )
    maria.execute("ANALYZE TABLE mailboxes")
    # By name it comes first, by id last; between the two by name, and held by another, is one more.
    archive, drafts = maria.mailbox(account, "Archive").id, maria.mailbox(account, "Drafts").id
    assert inbox < drafts < archive

    async def scenario(release: Callable[[], None]) -> list[Any]:
        deleting = Deferred.fromCoroutine(maria.database.attempt("delete", accounts.delete_account_txn, account.id))
        await until_waiting(1)
        copying = Deferred.fromCoroutine(
            maria.database.attempt("copy", transfer_txn, account.id, inbox, [1], archive, False)
        )
        copying.addErrback(lambda failure: failure.type.__name__)
        await until_waiting(2)
        release()
        return list(await gatherResults([deleting, copying], consumeErrors=True))

    with held(maria, "SELECT id FROM mailboxes WHERE id = %s FOR UPDATE", drafts) as release:
        assert run(scenario(release)) == [True, "NoSuchMailbox"]


# --- who waits, waits without a connection ---


class Held:
    """A database whose transactions of one name wait to be let go; all are noted when they begin."""

    def __init__(self, inner: Any, name: str) -> None:
        self.inner = inner
        self.begun: list[str] = []
        self.gate: Deferred[None] = Deferred()
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def attempt(self, name: str, *args: Any, **kwargs: Any) -> Any:
        self.begun.append(name)
        if name == self._name:
            await self.gate
        return await self.inner.attempt(name, *args, **kwargs)


@pytest.mark.parametrize("change", ["delete", "rename", "rename-above"])
def test_a_change_of_a_name_waits_for_the_writers_of_its_mailbox(store: Store, change: str) -> None:
    account = store.account()
    mailbox = store.fill(account, "Archive", [NONE])
    if change == "rename-above":
        run(rename(store.tx, account, "Archive", "Above/Archive"))
    database = Held(store.database, "append")
    tx = Transactions(database, Heard())  # type: ignore[arg-type]
    changes = {
        "delete": lambda: delete(tx, account, "Archive"),
        "rename": lambda: rename(tx, account, "Archive", "Other"),
        "rename-above": lambda: rename(tx, account, "Above", "Other"),
    }

    async def scenario() -> Appended:
        appending = Deferred.fromCoroutine(append(tx, account, mailbox, [NewMessage(blob(), NONE, NOW_US)]))
        changing = Deferred.fromCoroutine(changes[change]())
        # By the time that another mailbox's writer is served, the change would have been begun.
        await copy(tx, account, store_sent, [1], store_sent)
        assert database.begun == ["append", "copy"]
        database.gate.callback(None)
        appended = await appending
        await changing
        return appended

    store_sent = store.fill(account, "Sent", [NONE])
    assert run(scenario()).uids == [2]
    assert database.begun == ["append", "copy", change.partition("-")[0]]


# --- trouble of the database ---


class Deaf:
    """Nobody who can be told."""

    def changed(self, mailbox: MailboxId, modseq: int) -> None:
        raise RuntimeError("no")


def test_what_is_committed_is_answered_so_though_nobody_can_be_told(store: Store) -> None:
    account = store.account()
    inbox = store.mailbox(account).id
    tx = Transactions(store.database, Deaf())
    assert run(append(tx, account, inbox, [NewMessage(blob(), NONE, NOW_US)])).uids == [1]
    assert store.uids(inbox) == [1]


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_birth_an_hour_off_the_database_s_clock_is_refused(store: Store, hours: int) -> None:
    account = store.account()
    inbox = store.mailbox(account).id
    born = time.time_ns() // 1000 + hours * 3_600_000_000
    with pytest.raises(Unavailable):
        run(append(store.tx, account, inbox, [NewMessage(blob(born_us=born), NONE, NOW_US)]))
    assert store.uids(inbox) == []
    near = time.time_ns() // 1000 + hours * 1_700_000_000
    assert run(append(store.tx, account, inbox, [NewMessage(blob(born_us=near), NONE, NOW_US)])).uids == [1]


def test_an_operation_leaves_its_id_where_the_answer_to_its_commit_can_be_lost(store: Store) -> None:
    account = store.account()
    inbox = store.mailbox(account).id
    before = store.count("SELECT COUNT(*) FROM operations")
    run(append(store.tx, account, inbox, [NewMessage(blob(), NONE, NOW_US)]))
    left = store.count("SELECT COUNT(*) FROM operations") - before
    assert left == (0 if store.database.dialect == "sqlite" else 1)


def test_locks_are_given_up_before_a_transaction_is_tried_again(maria: Store) -> None:
    account = maria.account()
    first, second = (maria.mailbox(account, name).id for name in ("INBOX", "Sent"))
    database, runs = name_of(maria), []

    def lock(cursor: Cursor) -> None:
        runs.append(cursor)
        if len(runs) == 1:
            cursor.execute("UPDATE mailboxes SET recent_uid = 0 WHERE id = %s", (first,))
            cursor.execute("UPDATE mailboxes SET recent_uid = 0 WHERE id = %s", (second,))  # 1205 after 3 s
        with mariadb.server().connect(database=database) as other, other.cursor() as free:
            free.execute("SELECT id FROM mailboxes WHERE id = %s FOR UPDATE NOWAIT", (first,))

    with held(maria, "SELECT id FROM mailboxes WHERE id = %s FOR UPDATE", second):
        run(maria.database.run("test", lock))
    assert len(runs) == 2


@contextmanager
def plain(tmp_path: Path) -> Iterator[DatabaseConfig]:
    """A database for a user who may do nothing beyond it: an administrator may write where nobody else can."""
    with fresh_config("mariadb", tmp_path, user="plain", password="plain", socket=None, pool_size=1) as config:
        with mariadb.server().connect() as admin, admin.cursor() as cursor:
            cursor.execute("CREATE OR REPLACE USER 'plain'@'127.0.0.1' IDENTIFIED BY 'plain'")
            cursor.execute(f"GRANT ALL ON {config.database}.* TO 'plain'@'127.0.0.1'")
        yield config


@contextmanager
def setting(name: str, value: int, before: int) -> Iterator[None]:
    with mariadb.server().connect() as admin, admin.cursor() as cursor:
        cursor.execute(f"SET GLOBAL {name} = {value}")
        try:
            yield
        finally:
            cursor.execute(f"SET GLOBAL {name} = {before}")


def connection_of(store: Store) -> int:
    return store.count("SELECT CONNECTION_ID()")


def test_a_server_that_became_read_only_is_transient_and_left(tmp_path: Path) -> None:
    with plain(tmp_path) as config, open_store(config) as store:
        account = store.account()
        inbox = store.mailbox(account).id
        before = connection_of(store)
        assert connection_of(store) == before
        new = [NewMessage(blob(), NONE, NOW_US)]
        with setting("read_only", 1, 0):
            with pytest.raises(Unavailable):
                run(append(store.tx, account, inbox, new))
            assert connection_of(store) != before, "another server may write at that address by now"
            assert store.uids(inbox) == [], "reading goes on"
        assert run(append(store.tx, account, inbox, new)).uids == [1]


def test_a_server_without_a_connection_to_spare_is_transient(tmp_path: Path) -> None:
    with plain(tmp_path) as config, open_store(config) as store:
        account = store.account()
        inbox = store.mailbox(account).id
        place = {"host": config.host, "port": config.port, "user": "plain", "password": "plain"}
        others: list[Any] = []
        late = open_database(config)

        async def asked() -> int:
            return await late.read("test", lambda cursor: cursor.execute("SELECT 1"))

        run(late.start())
        try:
            with setting("max_connections", 10, 100):
                with suppress(pymysql.err.OperationalError):
                    others.extend(pymysql.connect(**place, ssl_disabled=True) for _ in range(11))
                with pytest.raises(Unavailable):
                    run(asked())
                assert store.uids(inbox) == [], "who has a connection keeps it"
            assert run(asked()) == 1
        finally:
            for other in others:
                other.close()
            run(late.stop())


@pytest.mark.parametrize(
    ("code", "meaning"),
    [(1290, Unavailable), (1836, Unavailable), (1040, Unavailable), (2013, LostLink), (1062, DuplicateKey)],
)
def test_what_errors_mean(code: int, meaning: type[Exception]) -> None:
    assert type(translated(pymysql.err.OperationalError(code, "x"))) is meaning
