"""``lightmail status``: is the server well, how much is in the store, and what the servers did of late."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import click

from lightmail.app import Stores
from lightmail.app.ready import readiness
from lightmail.cli.common import config_option, configuration, size_text, with_stores
from lightmail.cli.gc import moment
from lightmail.config import Config
from lightmail.store import epochs, samples, sessions, status
from lightmail.store.cursor import Cursor
from lightmail.store.sessions import Process
from lightmail.store.status import Objects, Totals
from lightmail.web.pages import dashboard, plots
from lightmail.web.pages.dashboard import Estimate
from lightmail.web.pages.plots import RANGES, Range, Span

_UNWELL: Final = 1
_CHECKS: Final = {"objects": "object store"}


@dataclass(frozen=True, slots=True)
class _Found:
    """What was found; `objects` only where an object store is paid for."""

    well: bool
    checks: Mapping[str, str]
    frozen: str
    processes: Sequence[tuple[Process, int]]
    totals: Totals
    connected: Mapping[str, int]
    over: Sequence[Span]
    objects: Objects | None


@click.command("status")
@click.option(
    "--over",
    "name",
    type=click.Choice(list(RANGES)),
    default="hour",
    show_default=True,
    help="Say what was done in the last hour, day or week.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@config_option
def status_(name: str, as_json: bool) -> None:
    """Print whether the server is well, how much it holds, and what it did of late.

    The exit status is 1 where a store does not answer, or garbage waits for an operator. It goes by what all servers of
    the store have written down, and needs none that runs; those without a section [api] write down nothing.
    """
    config, wanted, now_us = configuration(), RANGES[name], time.time_ns() // 1000

    async def work(stores: Stores) -> _Found:
        return await _look(stores, config, wanted, now_us)

    found = with_stores(work)
    price = dashboard.estimated(config.s3, found.over, wanted, now_us, found.objects)
    if as_json:
        click.echo(json.dumps(_document(found, wanted, price), indent=2))
    else:
        for line in _lines(found, wanted, price):
            click.echo(line)
    sys.exit(0 if found.well else _UNWELL)


async def _look(stores: Stores, config: Config, wanted: Range, now_us: int) -> _Found:
    database = stores.database
    ready, checks = await readiness(database, stores.objects, stores.pool, database.reactor).state()
    frozen = (await database.read("collection", epochs.read_txn)).frozen_reason
    found = await database.read("samples", samples.since_txn, wanted.step, plots.since_us(wanted, now_us))
    # Counting them reads their whole table: only where they cost something.
    objects = await database.read("objects", status.objects_txn) if config.s3 is not None else None

    def rows(cursor: Cursor) -> tuple[Sequence[tuple[Process, int]], Totals, Mapping[str, int]]:
        return sessions.processes_txn(cursor), status.totals_txn(cursor, None), sessions.by_protocol_txn(cursor)

    processes, totals, connected = await database.read("status", rows)
    well = ready and not frozen
    return _Found(well, checks, frozen, processes, totals, connected, plots.spans(found, wanted, now_us), objects)


def _lines(found: _Found, wanted: Range, price: Estimate | None) -> list[str]:
    totals = found.totals
    held = (
        (totals.domains, "domains"),
        (totals.accounts, f"accounts, {totals.active_accounts} of them active"),
        (totals.aliases, "aliases"),
        (totals.mailboxes, "mailboxes"),
        (totals.messages, f"messages of {size_text(totals.octets)} octets"),
    )
    lines = [f"{_CHECKS.get(name, name) + ':':<14} {word}" for name, word in found.checks.items()]
    lines.append(f"{'collection:':<14} {found.frozen or 'ok'}")
    lines += [_server(process) for process, _ in found.processes] or ["server:        none says that it runs"]
    lines += ["", *(f"{count:>14,} {what}" for count, what in held), "", f"In the {wanted.words}:"]
    lines += [f"{figure:>14} {what}" for figure, what, _ in _figures(found)]
    if price is not None:
        lines.append(f"{price.total:>14,.2f} {price.currency} a month for the object store, if it goes on like this")
    return lines


def _server(process: Process) -> str:
    return f"server:        {process.hostname}:{process.pid}, {process.version}, since {moment(process.started_us)}"


def _figures(found: _Found) -> list[tuple[str, str, bool]]:
    return dashboard.figures(found.over, found.connected, found.objects)


def _document(found: _Found, wanted: Range, price: Estimate | None) -> dict[str, Any]:
    counts = dashboard.summed(found.over)
    return {
        "well": found.well,
        "checks": dict(found.checks),
        "collection_frozen_reason": found.frozen or None,
        "servers": [
            {
                "hostname": process.hostname,
                "pid": process.pid,
                "version": process.version,
                "started_at": moment(process.started_us),
                "heartbeat_at": moment(heartbeat_us),
            }
            for process, heartbeat_us in found.processes
        ],
        "totals": dataclasses.asdict(found.totals),
        "sessions": dict(found.connected),
        "over": wanted.name,
        "counts": {name: round(count, 3) for name, count in sorted(counts.items())},
        "price_a_month": None if price is None else {**dataclasses.asdict(price), "total": price.total},
    }
