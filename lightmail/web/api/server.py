"""Endpoints about the server, for administrators: its health, what runs, how it is configured, how much it holds."""

from __future__ import annotations

import dataclasses
import os
import platform
import resource
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout

import twisted
from lightmail import __version__
from lightmail.config import Config
from lightmail.errors import MailError, Unavailable
from lightmail.store import epochs, sessions, status
from lightmail.store.migrations import latest_version
from lightmail.web.api.endpoints import Call, Endpoint, Json
from lightmail.web.api.figures import OBJECTS_SECONDS
from lightmail.web.api.schemas import (
    Boolean,
    Choice,
    Integer,
    ListOf,
    MapOf,
    Moment,
    Nullable,
    Number,
    Object,
    Text,
    moment_text,
    optional_moment,
)
from lightmail.web.api.scopes import Scope

# A store that has not answered by then does not.
_ANSWER_SECONDS: Final = 5.0
_PAGE_OCTETS: Final = os.sysconf("SC_PAGE_SIZE")

_HEALTH: Final = Object(
    {
        "healthy": Boolean(about="Whether every check is ok, and nothing waits for an operator."),
        "checks": MapOf(Choice(("ok", "failed", "stopping"))),
        "waiting": ListOf(Text(1000), about="What waits for an operator, in words."),
    },
    name="Health",
)
_LISTENER: Final = Object({"service": Text(), "bind": Text(), "port": Integer(), "tls": Boolean()}, name="Listener")
_INFO: Final = Object(
    {
        "hostname": Text(),
        "version": Text(),
        "python": Text(),
        "twisted": Text(),
        "started_at": Moment(),
        "pid": Integer(),
        "database": Text(about="The kind of database: mysql or sqlite."),
        "storage": Text(about="The kind of object store: s3, directory or memory."),
        "compression": Text(),
        "listeners": ListOf(_LISTENER),
        "undelete_days": Nullable(
            Integer(), about="How long what was deleted can be restored; null: not collected here."
        ),
    },
    name="Info",
)
_PROCESS: Final = Object(
    {
        "hostname": Text(),
        "pid": Integer(),
        "version": Text(),
        "started_at": Moment(),
        "heartbeat_at": Moment(about="When it last said that it runs."),
    },
    name="Process",
)
_STATUS: Final = Object(
    {
        "uptime_seconds": Integer(),
        "resident_octets": Integer(about="Memory of the process that answers."),
        "cpu_seconds": Number(about="What it has computed so far."),
        "processes": ListOf(_PROCESS, about="The server processes on this store."),
        "sessions": MapOf(Integer(), about="Open sessions of all processes, by protocol."),
        "epoch": Integer(),
        "collection_frozen_at": Nullable(Moment(), about="Since when garbage waits for `lightmail gc unfreeze`."),
        "collection_frozen_reason": Nullable(Text(1000)),
    },
    name="Status",
)
_IMAP: Final = Object(
    {
        "enabled": Boolean(),
        "bind": Nullable(Text()),
        "port": Nullable(Integer(), about="0: none."),
        "ssl_port": Nullable(Integer(), about="0: none."),
        "starttls": Boolean(about="Whether a certificate is configured."),
        "tls_only": Nullable(Boolean()),
        "max_connections": Nullable(Integer()),
        "session_timeout_seconds": Nullable(Integer()),
        "max_failed_attempts": Nullable(Integer()),
        "deleted_tree": Nullable(Boolean()),
        "special_use_names": MapOf(Text(), about="Special uses by the names of mailboxes that clients make."),
        "limits": MapOf(Integer(), about="The bounds that hold for IMAP, as `[limits]` has them."),
    },
    name="ImapConfig",
)
_DATABASE: Final = Object(
    {
        "driver": Text(),
        "reachable": Boolean(),
        "latency_ms": Nullable(Number(), about="What one small exchange took just now."),
        "server_version": Nullable(Text()),
        "schema_version": Nullable(Integer()),
        "schema_needed": Integer(about="The schema that this release works with."),
        "octets": Nullable(Integer(), about="What the tables take, as the server estimates it."),
        "connections": Integer(about="How many statements may run at once."),
    },
    name="DatabaseStatus",
)
_OBJECTS: Final = Object(
    {
        "live": Integer(about="Objects that messages may refer to."),
        "live_octets": Integer(about="As they are stored."),
        "leaving": Integer(about="Objects that the collector watches, or is to delete."),
        "leaving_octets": Integer(),
    },
    name="Objects",
)
_S3: Final = Object(
    {
        "driver": Text(),
        "reachable": Boolean(),
        "latency_ms": Nullable(Number(), about="What asking for one object took just now."),
        "endpoint": Nullable(Text(1000)),
        "region": Nullable(Text()),
        "bucket": Nullable(Text()),
        "prefix": Nullable(Text(1000)),
        "objects": Nullable(_OBJECTS, about=f"Up to {OBJECTS_SECONDS / 60:.0f} minutes old."),
    },
    name="ObjectStoreStatus",
)
_STATS: Final = Object(
    {
        "domains": Integer(),
        "accounts": Integer(),
        "active_accounts": Integer(),
        "aliases": Integer(),
        "mailboxes": Integer(),
        "messages": Integer(),
        "octets": Integer(about="What the messages sum up to, each counted in every mailbox that it is in."),
    },
    name="Stats",
)

# Of [limits], what bounds IMAP.
_IMAP_LIMITS: Final = (
    "line_octets_before_login",
    "line_octets",
    "literal_octets_before_login",
    "literal_octets",
    "append_octets",
    "mailbox_name_octets",
    "mailbox_depth",
    "search_keys",
    "bad_commands_before_login",
    "bad_commands",
    "connections_per_user_and_address",
    "connections_per_address_before_login",
    "login_seconds",
)
_IMAP_KEYS: Final = (
    "bind",
    "port",
    "ssl_port",
    "tls_only",
    "max_connections",
    "session_timeout_seconds",
    "max_failed_attempts",
    "deleted_tree",
)


async def health(call: Call) -> Json:
    """Every check's result, and what waits for an operator."""
    services = call.services
    ready, checks = await services.readiness.state()
    waiting = []
    try:
        collection = await services.database.read("collection", epochs.read_txn)
        if collection.frozen_at:
            waiting.append(f"Garbage collection is frozen: {collection.frozen_reason} See lightmail gc unfreeze.")
    except Unavailable:
        ready, checks = False, {**checks, "database": "failed"}
    return Json({"healthy": ready and not waiting, "checks": dict(checks), "waiting": waiting})


async def info(call: Call) -> Json:
    """What this server is."""
    config = call.services.config
    return Json(
        {
            "hostname": config.system.hostname,
            "version": __version__,
            "python": platform.python_version(),
            "twisted": twisted.__version__,
            "started_at": moment_text(call.services.started_us),
            "pid": os.getpid(),
            "database": config.database.driver,
            "storage": config.storage.driver,
            "compression": config.storage.compression,
            "listeners": _listeners(config),
            "undelete_days": None if config.garbage is None else config.garbage.undelete_days,
        }
    )


def _listeners(config: Config) -> list[Mapping[str, Any]]:
    """The TCP ports that the configuration asks for."""
    found: list[Mapping[str, Any]] = []
    for name in ("imap", "pop3", "lmtp", "api", "metrics"):
        section: Any = getattr(config, name, None)
        for key in ("port", "ssl_port"):
            port = getattr(section, key, 0)
            if port:
                found.append({"service": name, "bind": section.bind, "port": port, "tls": key == "ssl_port"})
    return found


async def state(call: Call) -> Json:
    """What runs, and how it fares."""
    services = call.services
    collection = await services.database.read("collection", epochs.read_txn)
    processes = await services.database.read("processes", sessions.processes_txn)
    counts = await services.database.read("sessions", sessions.by_protocol_txn)
    used = resource.getrusage(resource.RUSAGE_SELF)
    frozen = bool(collection.frozen_at)
    return Json(
        {
            "uptime_seconds": max(0, time.time_ns() // 1000 - services.started_us) // 1_000_000,
            "resident_octets": await services.pool.run(_resident_octets),
            "cpu_seconds": round(used.ru_utime + used.ru_stime, 3),
            "processes": [
                {
                    "hostname": process.hostname,
                    "pid": process.pid,
                    "version": process.version,
                    "started_at": moment_text(process.started_us),
                    "heartbeat_at": moment_text(heartbeat_us),
                }
                for process, heartbeat_us in processes
            ],
            "sessions": counts,
            "epoch": collection.store_epoch,
            "collection_frozen_at": optional_moment(collection.frozen_at),
            "collection_frozen_reason": collection.frozen_reason if frozen else None,
        }
    )


def _resident_octets() -> int:
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * _PAGE_OCTETS


async def imap_config(call: Call) -> Json:
    """IMAP as it is configured."""
    config = call.services.config
    imap = config.imap
    limits = dataclasses.asdict(config.limits)
    return Json(
        {
            "enabled": imap is not None,
            **{key: getattr(imap, key, None) for key in _IMAP_KEYS},
            "starttls": config.tls is not None,
            "special_use_names": dict(imap.special_use_names) if imap is not None else {},
            "limits": {key: limits[key] for key in _IMAP_LIMITS},
        }
    )


async def database(call: Call) -> Json:
    """The database: whether it answers, which one it is, how large."""
    services = call.services
    latency_ms = await _timed(call, services.database.read("ready", epochs.read_txn))
    server = None
    if latency_ms is not None:
        dialect = services.database.dialect
        server = await services.database.read("database-status", status.server_txn, dialect)
    return Json(
        {
            "driver": services.config.database.driver,
            "reachable": server is not None,
            "latency_ms": latency_ms,
            "server_version": server and server.version,
            "schema_version": server and server.schema_version,
            "schema_needed": await services.pool.run(latest_version, services.database.dialect),
            "octets": server and server.octets,
            "connections": services.database.connections,
        }
    )


async def object_store(call: Call) -> Json:
    """The object store: whether it answers, where it is, how much is in it."""
    services = call.services
    latency_ms = await _timed(call, services.pool.run(services.objects.size, "meta/probe"))
    s3 = services.config.s3 if services.config.storage.driver == "s3" else None
    return Json(
        {
            "driver": services.config.storage.driver,
            "reachable": latency_ms is not None,
            "latency_ms": latency_ms,
            **{key: getattr(s3, key, None) for key in ("endpoint", "region", "bucket", "prefix")},
            "objects": await _objects(call),
        }
    )


async def _objects(call: Call) -> Mapping[str, int] | None:
    """How many objects there are; None while the database does not answer."""
    try:
        return dataclasses.asdict(await call.services.figures.objects())
    except Unavailable:
        return None


async def _timed(call: Call, asking: Coroutine[Deferred[Any], Any, object]) -> float | None:
    """How many milliseconds the answer took; None where none came within some seconds."""
    began: float = call.services.reactor.seconds()
    try:
        await Deferred.fromCoroutine(asking).addTimeout(_ANSWER_SECONDS, call.services.reactor)
    except (MailError, DeferredTimeout):
        return None
    seconds: float = call.services.reactor.seconds() - began
    return round(seconds * 1000, 3)


async def stats(call: Call) -> Json:
    """How much there is."""
    return Json(dataclasses.asdict(await call.services.figures.totals(call.actor.domain)))


def _row(path: str, summary: str, run: Callable[[Call], Awaitable[Json]], answer: Object) -> Endpoint:
    """An endpoint about the server as a whole."""
    return Endpoint("GET", path, Scope.STATUS_READ, summary, run, answer=answer, server_only=True)


ENDPOINTS: Final = (
    _row("/admin/health", "Whether the server is well", health, _HEALTH),
    _row("/admin/info", "What the server is", info, _INFO),
    _row("/admin/status", "What runs, and how it fares", state, _STATUS),
    _row("/admin/imap/config", "How IMAP is configured", imap_config, _IMAP),
    _row("/admin/db/status", "The database", database, _DATABASE),
    _row("/admin/s3/status", "The object store", object_store, _S3),
    Endpoint(
        "GET",
        "/stats",
        Scope.STATUS_READ,
        "How much the store holds",
        stats,
        answer=_STATS,
        about="A token of one domain sees that domain's; the figures are some seconds old.",
    ),
)
