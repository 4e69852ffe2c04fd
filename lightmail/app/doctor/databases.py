"""The database: reached, on our schema, permitted, durable, large enough."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from lightmail.app.doctor.checks import Check, bad, good, warning
from lightmail.app.doctor.clocks import apart
from lightmail.config import Config, DatabaseConfig
from lightmail.errors import StartupError
from lightmail.store import mysql_checks, mysql_facts, sqlite_link
from lightmail.store.migrations import latest_version
from lightmail.store.mysql_link import ANSWER_SECONDS, connect_arguments

_SERVING: Final = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})
_MIGRATING: Final = frozenset({"CREATE", "ALTER", "INDEX", "DROP"})
_PACKET: Final = 16 << 20
# Round trips decide how fast an operation is.
_SLOW_SECONDS: Final = 0.005


def look(config: Config) -> Iterator[Check]:
    """The database of [database]."""
    database = config.database
    if database.driver == "sqlite":
        yield _sqlite(database, embedded=config.embedded)
        return
    where = f"[database] {database.database} at {database.socket or f'{database.host}:{database.port}'}"
    try:
        facts = mysql_facts.ask(database)
    except StartupError as error:
        yield bad("database", where, str(error), "start the server, or correct [database] (docs/install.md)")
        return
    yield _version(where, facts)
    yield _schema(where, database)
    yield _grants(where, facts)
    yield from _settings(where, database, facts)
    if facts.trip_seconds > _SLOW_SECONDS:
        found = f"an exchange takes {facts.trip_seconds * 1000:.1f} ms"
        yield warning("distance", where, found, "put server and database into one place")
    yield apart("clock of the database", where, facts.ahead_seconds)


def _sqlite(database: DatabaseConfig, *, embedded: bool) -> Check:
    looked_at = f"[database] path = {database.path}"
    try:
        sqlite_link.check(database.path)
    except StartupError as error:
        if embedded and "run `lightmail migrate`" in str(error):
            return good("database", looked_at, "not there yet; an embedded server makes it when it starts")
        return bad("database", looked_at, str(error), "see docs/install.md")
    return good("database", looked_at, f"SQLite, readable, writable, at schema version {latest_version('sqlite')}")


def _version(where: str, facts: mysql_facts.Facts) -> Check:
    version = facts.variables["version"]
    numbers = tuple(int(number) for number in version.partition("-")[0].split(".")[:2])
    oldest = (10, 6) if "MariaDB" in version else (8, 0)
    if numbers < oldest:
        wanted = "MariaDB 10.6 or MySQL 8"
        return bad("database", where, f"it is {version}, older than we know to work", f"install {wanted} or later")
    return good("database", where, f"{version} answers, an exchange takes {facts.trip_seconds * 1000:.2f} ms")


def _schema(where: str, database: DatabaseConfig) -> Check:
    try:
        mysql_checks.check(database, connect_arguments(database, ANSWER_SECONDS))
    except StartupError as error:
        return bad("schema", where, str(error), "run `lightmail migrate` as the release's own user")
    return good("schema", where, f"schema version {latest_version('mysql')}, rows can be written")


def _grants(where: str, facts: mysql_facts.Facts) -> Check:
    serving, migrating = _SERVING - facts.privileges, _MIGRATING - facts.privileges
    advice = "GRANT ALL ON the database TO the user"
    if serving:
        return bad("grants", where, f"the user lacks {', '.join(sorted(serving))}", advice)
    if migrating:
        found = f"the user lacks {', '.join(sorted(migrating))}: `lightmail migrate` cannot upgrade"
        return warning("grants", where, found, advice)
    return good("grants", where, "reading, writing, and upgrading the tables")


def _settings(where: str, database: DatabaseConfig, facts: mysql_facts.Facts) -> Iterator[Check]:
    values = facts.variables
    losses = []
    if values["innodb_flush_log_at_trx_commit"] != "1":
        losses.append(f"innodb_flush_log_at_trx_commit = {values['innodb_flush_log_at_trx_commit']}")
    if values["log_bin"] not in ("0", "OFF") and values["sync_binlog"] != "1":
        losses.append(f"sync_binlog = {values['sync_binlog']}")
    if losses:
        yield bad("durability", where, f"{', '.join(losses)}: a crash loses mail that was accepted", "set both to 1")
    else:
        yield good("durability", where, "what is committed is on disk")
    if values["read_only"] not in ("0", "OFF"):
        yield bad("durability", where, "the server is read-only", "name the server that takes writes")
    if int(values["max_connections"]) < 2 * database.pool_size:
        found = f"max_connections = {values['max_connections']}, and each of our processes takes {database.pool_size}"
        yield warning("connections", where, found, "raise max_connections, or lower [database] pool_size")
    if int(values["max_allowed_packet"]) < _PACKET:
        yield warning("packets", where, f"max_allowed_packet = {values['max_allowed_packet']}", "set it to 16M or more")
