"""What the servers did and had over the last hour, day or week: figures, plots, and what the object store may cost."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lightmail.config import S3Config
from lightmail.store import samples, sessions
from lightmail.store.status import Objects
from lightmail.web.pages import plots
from lightmail.web.pages.plots import RANGES, Plot, Range, Span, Value, plot
from lightmail.web.pages.templates import size
from lightmail.web.pages.views import Visit

_MONTH_SECONDS: Final = 30 * 86_400
_GIB: Final = 1 << 30
# What waits for the collector is counted so far.
_BACKLOG_COUNTED: Final = 10_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the object store costs a month if it goes on like this, in the currency of the prices."""

    currency: str
    stored: float
    writes: float
    reads: float
    traffic: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.stored + self.writes + self.reads + self.traffic


def estimate(prices: S3Config, counts: Mapping[str, float], seconds: float, stored_octets: int) -> Estimate:
    """The price of a month of 30 days in which as much is done as the `counts` say of so many seconds."""
    months = _MONTH_SECONDS / seconds
    return Estimate(
        prices.currency,
        stored_octets / _GIB * prices.price_gib_month,
        counts.get("object_writes", 0) * months / 1000 * prices.price_1000_writes,
        counts.get("object_reads", 0) * months / 1000 * prices.price_1000_reads,
        counts.get("octets_read", 0) * months / _GIB * prices.price_gib_read,
    )


async def values(visit: Visit) -> dict[str, Any]:
    """What the page shows of the range that the visit asks for. Raises Unavailable."""
    services = visit.services
    wanted = RANGES.get(visit.query.get("range", ""), RANGES["hour"])
    now_us = time.time_ns() // 1000
    found = await services.database.read("samples", samples.since_txn, wanted.step, plots.since_us(wanted, now_us))
    over = plots.spans(found, wanted, now_us)
    connected = await services.database.read("sessions", sessions.by_protocol_txn)
    # Counting them reads a table of as many rows as there are messages: only where they cost something.
    objects = await services.figures.objects() if services.config.s3 is not None else None
    return {
        "range": wanted,
        "ranges": list(RANGES.values()),
        "figures": figures(over, connected, objects),
        "plots": _plots(over),
        "table": visit.query.get("table", ""),
        "estimate": estimated(services.config.s3, over, wanted, now_us, objects),
        "width": plots.WIDTH,
        "height": plots.HEIGHT,
    }


def summed(over: Sequence[Span]) -> Counter[str]:
    """What was done in all of the spans, by the names of the series."""
    counts: Counter[str] = Counter()
    for span in over:
        counts.update(span.counts)
    return counts


def figures(over: Sequence[Span], connected: Mapping[str, int], objects: Objects | None) -> list[tuple[str, str, bool]]:
    """Figures with their words, and whether each is good to hear."""
    counts = summed(over)
    trouble = counts["database_failures"] + counts["object_failures"]
    backlog = next((span.peaks.get("garbage", 0.0) for span in reversed(over) if span.known), 0.0)
    many = " or more" if backlog >= _BACKLOG_COUNTED else ""
    rate = f"{100 * counts['cache_hits'] / counts['cache_lookups']:.0f} %" if counts["cache_lookups"] else "none"
    return [
        (f"{counts['delivered']:,.0f}", "messages delivered", True),
        (f"{counts['deferred'] + counts['refused']:,.0f}", "deliveries deferred or refused", True),
        (f"{counts['logins']:,.0f}", "sign-ins", True),
        (f"{counts['failed_logins']:,.0f}", "failed sign-ins", True),
        (f"{connected.get('imap', 0) + connected.get('pop3', 0):,}", "clients connected now", True),
        (rate, "of look-ups answered by caches", True),
        (f"{counts['object_writes'] + counts['object_reads']:,.0f}", "requests to the object store", True),
        *([(size(_stored(objects)), "in the object store", True)] if objects is not None else []),
        (f"{backlog:,.0f}{many}", "wait for the collector of garbage", True),
        (f"{trouble:,.0f}", "failures of database and object store", not trouble),
    ]


def estimated(
    prices: S3Config | None, over: Sequence[Span], wanted: Range, now_us: int, objects: Objects | None
) -> Estimate | None:
    """None where no object store is paid for, or nothing is known yet."""
    began_us = next((span.began_us for span in over if span.known), None)
    if prices is None or objects is None or began_us is None:
        return None
    seconds = max((now_us - began_us) / 1_000_000, wanted.step)
    return estimate(prices, summed(over), seconds, _stored(objects))


def _stored(objects: Objects) -> int:
    """The octets that are paid for: those on their way out, too."""
    return objects.live_octets + objects.leaving_octets


def _plots(over: Sequence[Span]) -> list[Plot]:
    return [plot(name, title, unit, over, lines, top) for name, title, unit, lines, top in _PLOTS]


def _rate(*series: str) -> Value:
    return lambda span: span.per_minute(*series)


def _level(series: str) -> Value:
    return lambda span: span.level(series)


def _delivery_ms(span: Span) -> float | None:
    seconds = span.quotient("delivery_seconds", "deliveries")
    return None if seconds is None else seconds * 1000


def _hit_percent(span: Span) -> float | None:
    part = span.quotient("cache_hits", "cache_lookups")
    return None if part is None else part * 100


# Name, title, unit, the lines with their values, and what the upper edge stands for, None: what is highest.
_PLOTS: Final[Sequence[tuple[str, str, str, Sequence[tuple[str, Value]], float | None]]] = (
    (
        "mail",
        "Mail that comes in",
        "a minute",
        (("delivered", _rate("delivered")), ("deferred", _rate("deferred")), ("refused", _rate("refused"))),
        None,
    ),
    ("delivery", "Time that a delivery takes", "ms", (("on average", _delivery_ms),), None),
    ("logins", "Sign-ins", "a minute", (("good", _rate("logins")), ("failed", _rate("failed_logins"))), None),
    (
        "sessions",
        "Sessions",
        "at once",
        (("IMAP", _level("sessions_imap")), ("POP3", _level("sessions_pop3")), ("LMTP", _level("sessions_lmtp"))),
        None,
    ),
    ("caches", "Look-ups that caches answer", "%", (("answered", _hit_percent),), 100.0),
    (
        "database",
        "Database",
        "a minute",
        (("exchanges", _rate("database_calls")), ("failures", _rate("database_failures"))),
        None,
    ),
    (
        "objects",
        "Requests to the object store",
        "a minute",
        (("writes", _rate("object_writes")), ("reads", _rate("object_reads")), ("failures", _rate("object_failures"))),
        None,
    ),
    (
        "octets",
        "Octets to and from the object store",
        "octets a minute",
        (("written", _rate("octets_written")), ("read", _rate("octets_read"))),
        None,
    ),
    (
        "garbage",
        "What waits for the collector of garbage",
        "at most",
        (("waiting", lambda span: span.peaks.get("garbage", 0.0)),),
        None,
    ),
)
