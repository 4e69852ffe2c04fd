"""The metrics as Prometheus reads them.

A server in use has thousands of series, and to gather and write them takes tens of milliseconds: it is done family by
family, with other work in between. The largest family, of all calls of the database, takes some 5 ms for either.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from lightmail.metrics import REGISTRY
from lightmail.turns import Turn


class _One(Collector):
    """A collector of one family, which is what the library can write down."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterator[Metric]:
        yield self._family


async def exposition(reactor: Any) -> bytes:
    """Every metric as it stands, in Prometheus's text format."""
    turn = Turn(reactor)
    pieces = []
    for family in REGISTRY.collect():
        await turn.offer()
        pieces.append(generate_latest(_One(family)))
        await turn.offer()
    return b"".join(pieces)
