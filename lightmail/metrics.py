"""The metrics that /metrics shows, one definition each; whoever does the work counts it.

Label values come from fixed sets in the code, never from what a client sends: the number of series is bounded.
docs/metrics.md lists every metric with its label values, and a test holds the two together.
"""

from __future__ import annotations

from collections import Counter as Sums
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeAlias
from weakref import WeakKeyDictionary

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from lightmail import __version__

# When each series began, which is as many series again, and Prometheus's text format has no use for it.
disable_created_metrics()  # type: ignore[no-untyped-call]

# A registry of our own: what other libraries put into the global one is none of our business.
REGISTRY: Final = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)

_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

# Finer where it matters: whether a client noticed.
_STALL_SECONDS: Final = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.075),
    *(0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0),
)


# A live gauge's value with those of its labels.
Reading: TypeAlias = tuple[tuple[str, ...], float]


class Live(Collector):
    """A gauge that is read when somebody asks for it, from whatever is there: those who work count nothing.

    Readings with the same label values are added up. What is watched is not kept alive.
    """

    def __init__(self, name: str, help_: str, labels: Sequence[str]) -> None:
        self._name, self._help, self._labels = name, help_, tuple(labels)
        self._watched: WeakKeyDictionary[Any, Callable[[Any], Iterable[Reading]]] = WeakKeyDictionary()
        REGISTRY.register(self)

    def watch(self, owner: Any, read: Callable[[Any], Iterable[Reading]]) -> None:
        """Ask ``read(owner)`` for readings from now on, in the reactor's thread. A function of a class, not bound."""
        self._watched[owner] = read

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The gauge without values."""
        yield GaugeMetricFamily(self._name, self._help, labels=self._labels)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauge as it stands."""
        sums: Sums[tuple[str, ...]] = Sums()
        for owner, read in list(self._watched.items()):
            for values, reading in read(owner):
                sums[values] += reading  # type: ignore[assignment]
        for family in self.describe():
            for values, total in sorted(sums.items()):
                family.add_metric(values, total)
            yield family


BUILD_INFO: Final = Info("lightmail_build", "The version that runs.", registry=REGISTRY)
BUILD_INFO.info({"version": __version__})

SESSIONS: Final = Live("lightmail_sessions", "Open client connections, by what they are at.", ["protocol", "state"])
LOGINS: Final = Counter("lightmail_logins", "Login attempts by result.", ["protocol", "result"], registry=REGISTRY)
IMAP_REQUESTS: Final = Counter(
    "imap_requests", "IMAP commands by tagged result.", ["command", "result"], registry=REGISTRY
)
IMAP_SECONDS: Final = Histogram(
    "lightmail_imap_command_seconds",
    "IMAP commands from their turn to their tagged result; without IDLE, which lasts as long as its client likes.",
    ["command"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
POP3_REQUESTS: Final = Counter(
    "lightmail_pop3_requests", "POP3 commands by result.", ["command", "result"], registry=REGISTRY
)
EMAILS_RECEIVED: Final = Counter(
    "emails_received", "Recipients answered over LMTP, by result.", ["result"], registry=REGISTRY
)
DELIVERY_SECONDS: Final = Histogram(
    "lightmail_delivery_seconds",
    "Deliveries from the last octet of the message to the replies, waiting for a turn included.",
    buckets=_SECONDS,
    registry=REGISTRY,
)
DELIVERY_STAGE: Final = Histogram(
    "lightmail_delivery_stage_seconds",
    "Where a delivery's time goes: spool, render, compress, put, transaction (COMMIT included).",
    ["stage"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
SCANS: Final = Counter(
    "lightmail_scans",
    "Messages by what came of their scan for viruses: clean, infected, unscanned (too large) or failed.",
    ["result"],
    registry=REGISTRY,
)
SCAN_SECONDS: Final = Histogram(
    "lightmail_scan_seconds",
    "Scans of messages, waiting for a thread included.",
    buckets=_SECONDS,
    registry=REGISTRY,
)
DATABASE_SECONDS: Final = Histogram(
    "lightmail_database_seconds",
    "Transactions and reads by name, retries included.",
    ["name"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
DATABASE_ROUND_TRIPS: Final = Counter(
    "lightmail_database_round_trips",
    "Exchanges with the database by name of the transaction or read (SQLite: statements).",
    ["name"],
    registry=REGISTRY,
)
DATABASE_RETRIES: Final = Counter(
    "lightmail_database_retries", "Transactions run again, by reason.", ["name", "reason"], registry=REGISTRY
)
DATABASE_FAILURES: Final = Counter(
    "lightmail_database_failures",
    "Calls of the database that were given up: it does not answer, or too many wait for it.",
    registry=REGISTRY,
)
OBJECT_SECONDS: Final = Histogram(
    "lightmail_object_seconds", "Calls to the object store.", ["call"], buckets=_SECONDS, registry=REGISTRY
)
OBJECT_CALLS: Final = Counter(
    "lightmail_object_calls", "Calls to the object store by result.", ["call", "result"], registry=REGISTRY
)
OBJECT_OCTETS: Final = Counter(
    "lightmail_object_octets", "Octets moved to and from the object store.", ["direction"], registry=REGISTRY
)
CACHE_HITS: Final = Counter(
    "lightmail_cache_lookups", "Lookups in the caches, by result (hit or miss).", ["cache", "result"], registry=REGISTRY
)
CACHE_OCTETS: Final = Live("lightmail_cache_octets", "Octets that the caches in memory hold.", ["cache"])
POOL_CALLS: Final = Live(
    "lightmail_pool_calls",
    "Calls in the pools of threads, by pool: running, or waiting for a thread.",
    ["pool", "state"],
)
SNAPSHOTS: Final = Counter(
    "lightmail_snapshots",
    "Snapshots of indexes by result: written, or refused because another process had written one.",
    ["result"],
    registry=REGISTRY,
)
SNAPSHOTS_DUE: Final = Gauge(
    "lightmail_snapshots_due", "Indexes in memory whose snapshot is still to be written.", registry=REGISTRY
)
SNAPSHOT_OCTETS: Final = Counter(
    "lightmail_snapshot_octets", "Octets of the objects of snapshots that were written.", registry=REGISTRY
)
REACTOR_STALL: Final = Histogram(
    "lightmail_reactor_stall_seconds",
    "How long the reactor kept a client waiting that came at a random moment while it worked.",
    buckets=_STALL_SECONDS,
    registry=REGISTRY,
)
API_REQUESTS: Final = Counter(
    "lightmail_api_requests", "Requests to the HTTP API by status.", ["method", "status"], registry=REGISTRY
)
API_SECONDS: Final = Histogram(
    "lightmail_api_seconds",
    "Requests to the HTTP API until they were answered, the client's reading included.",
    buckets=_SECONDS,
    registry=REGISTRY,
)
LOG_RECORDS: Final = Counter(
    "lightmail_log_records",
    "Warnings and worse, by level, whether the log's level lets them through or not.",
    ["level"],
    registry=REGISTRY,
)
QUOTA_WARNINGS: Final = Counter(
    "lightmail_quota_warnings", "Accounts told that they are nearly full.", registry=REGISTRY
)
QUOTA_REFUSALS: Final = Counter(
    "lightmail_quota_refusals", "Accounts refused a message for want of room, by way.", ["way"], registry=REGISTRY
)
WEBHOOK_EVENTS: Final = Counter(
    "lightmail_webhook_events",
    "Events by what became of them: delivered to the receiver, repeated (a failed attempt that is made again), failed"
    " (given up), or dropped because too many wait.",
    ["result"],
    registry=REGISTRY,
)
WEBHOOK_SECONDS: Final = Histogram(
    "lightmail_webhook_seconds",
    "Attempts to take an event to the receiver, until it answered.",
    buckets=_SECONDS,
    registry=REGISTRY,
)
WEBHOOK_BACKLOG: Final = Gauge(
    "lightmail_webhook_backlog",
    "Events that wait for the receiver, or were given up, by state, counted up to 10,000.",
    ["state"],
    registry=REGISTRY,
)
COLLECTION_FROZEN: Final = Gauge(
    "lightmail_collection_frozen", "1 while garbage collection waits for `lightmail gc unfreeze`.", registry=REGISTRY
)
STORE_EPOCH: Final = Gauge(
    "lightmail_store_epoch", "How often the database was found behind its bucket, plus one.", registry=REGISTRY
)
JOURNAL_LAST_SEGMENT: Final = Gauge(
    "lightmail_journal_last_segment_seconds", "When this process last wrote a segment, Unix time.", registry=REGISTRY
)
JOURNAL_BEHIND: Final = Gauge(
    "lightmail_journal_behind_seconds",
    "How long ago the last complete round of the journal began, when the last one ended.",
    registry=REGISTRY,
)
JOURNAL_CHANGES: Final = Gauge(
    "lightmail_journal_behind_changes", "Changes of mailboxes that the journal does not have yet.", registry=REGISTRY
)
JOURNAL_OCTETS: Final = Counter("lightmail_journal_octets", "Octets of segments written.", registry=REGISTRY)
GARBAGE_COLLECTED: Final = Counter(
    "lightmail_garbage_collected",
    "What the collector has removed, condemned or found, by kind.",
    ["kind"],
    registry=REGISTRY,
)
GARBAGE_OCTETS: Final = Counter(
    "lightmail_garbage_octets", "Octets of objects that the collector has deleted from the store.", registry=REGISTRY
)
GARBAGE_BACKLOG: Final = Gauge(
    "lightmail_garbage_backlog",
    "What waits for the collector, by kind, counted up to 10,000.",
    ["kind"],
    registry=REGISTRY,
)
GARBAGE_LAST_PASS: Final = Gauge(
    "lightmail_garbage_last_pass_seconds",
    "When this process last ended a pass of the collector, Unix time.",
    registry=REGISTRY,
)
CERTIFICATE_EXPIRY: Final = Gauge(
    "lightmail_certificate_expiry_seconds",
    "When the first of the certificates that are shown to clients expires, Unix time.",
    registry=REGISTRY,
)
GARBAGE_FAILURES: Final = Counter(
    "lightmail_garbage_failures", "Passes of the collector that failed.", registry=REGISTRY
)
