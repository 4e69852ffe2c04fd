"""The order of writes (design, section 5), where no other suite holds it: what each rule prevents, made to happen.

docs/order-of-writes.md says of every sentence which test attacks it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from lightmail.model import MailboxId, ObjectState
from lightmail.operations.copy import copy, move, transfer_txn
from lightmail.store import collection, messages
from lightmail.store.cursor import Cursor
from lightmail.store.faults import Conflict
from tests.support import mariadb
from tests.support.reactor import run
from tests.support.storekit import NOW_US, Store, blob, fresh_config, open_store, together

NONE: tuple[bytes, ...] = ()


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
