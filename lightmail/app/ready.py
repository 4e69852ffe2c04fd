"""What makes a server ready to serve: its database and its object store answer, and the schema is the one it knows."""

from __future__ import annotations

from typing import Any

from lightmail.errors import Unavailable
from lightmail.objects.backends import ObjectStore
from lightmail.store.cursor import Cursor
from lightmail.store.database import Database
from lightmail.store.migrations import latest_version, version_txn
from lightmail.threads import BoundedPool
from lightmail.web.readiness import Readiness


def readiness(database: Database, objects: ObjectStore, pool: BoundedPool, reactor: Any) -> Readiness:
    """The checks of a server on these stores."""
    needed = latest_version(database.dialect)

    async def ask_database() -> None:
        await database.read("ready", _ask_txn)

    async def ask_schema() -> None:
        # A newer one came with a release that runs elsewhere already: this server may not write to it.
        if await database.read("schema", version_txn) != needed:
            raise Unavailable

    async def ask_objects() -> None:
        await pool.run(objects.size, "meta/probe")

    return Readiness({"database": ask_database, "schema": ask_schema, "objects": ask_objects}, reactor)


def _ask_txn(cursor: Cursor) -> None:
    cursor.execute("SELECT 1")
    cursor.fetchall()
