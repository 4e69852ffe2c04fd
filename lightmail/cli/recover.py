"""``lightmail recover``: rows for an empty database, from the bucket alone."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import click

from lightmail.app import Stores
from lightmail.app.privileges import drop
from lightmail.cli.common import config_option, configuration, in_reactor, with_stores
from lightmail.config import Config
from lightmail.jobs.recover.examine import Examiners
from lightmail.jobs.recover.run import Recovery, Report
from lightmail.jobs.recover.scratch import Scratch
from lightmail.objects.backends import ObjectStore, open_store
from lightmail.threads import BoundedPool

_SHOWN: Final = 20


@click.command("recover")
@config_option
@click.option("--dry-run", is_flag=True, help="Read the bucket and say what would come back; no database is needed.")
@click.option("--all-objects", is_flag=True, help="Bring back what no mailbox held any more, too.")
@click.option("--processes", type=click.IntRange(0, 64), default=None, help="Processes that read messages; one a core.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def recover(dry_run: bool, all_objects: bool, processes: int | None, as_json: bool) -> None:
    """Rebuild an empty database from the bucket: its journal, and its objects' own headers.

    Make the database and run `lightmail migrate` first; docs/backup.md tells the whole way.
    """
    config = configuration()
    shown = not as_json and sys.stderr.isatty()
    processes = min(os.cpu_count() or 1, 16) if processes is None else processes

    async def read(store: ObjectStore, pool: BoundedPool, reactor: Any, work: _Work) -> Report:
        scribe = BoundedPool("scratch", 1, 10, reactor=reactor, wait_seconds=3600)
        scribe.start()
        scratch = Scratch(_temporary(config))
        examiners = Examiners(config.storage, config.s3, store, pool, processes)
        try:
            with _bars(shown) as progress:
                recovery = Recovery(store, examiners, pool, scribe, scratch, progress, everything=all_objects)
                return await work(recovery)
        finally:
            examiners.close()
            await scribe.stop()
            scratch.close()

    async def write(stores: Stores) -> Report:
        await stores.pool.run(stores.objects.check)
        reactor = stores.database.reactor
        return await read(stores.objects, stores.pool, reactor, lambda recovery: recovery.run(stores.transactions))

    if dry_run:
        drop(config.system)
        report = in_reactor(lambda reactor: _without_rows(config, reactor, read))
    else:
        report = with_stores(write)
    click.echo(json.dumps(report.pack(), indent=2) if as_json else "\n".join(_lines(report)))


_Work = Callable[[Recovery], Awaitable[Report]]


async def _without_rows(
    config: Config, reactor: Any, read: Callable[[ObjectStore, BoundedPool, Any, _Work], Awaitable[Report]]
) -> Report:
    pool = BoundedPool("objects", config.limits.object_threads, config.limits.object_queue, reactor=reactor)
    pool.start()
    try:
        return await read(open_store(config.storage, config.s3), pool, reactor, lambda recovery: recovery.rehearse())
    finally:
        await pool.stop()


def _temporary(config: Config) -> str | None:
    """Where the server puts its temporary files, if it has been there."""
    directory = config.storage.spool_directory
    return directory if os.path.isdir(directory) and os.access(directory, os.W_OK) else None


@contextmanager
def _bars(shown: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar on standard error for each stage whose length is known."""
    bars: dict[str, Any] = {}

    def end() -> None:
        for bar in bars.values():
            bar.render_finish()
        bars.clear()

    def progress(stage: str, done: int, total: int) -> None:
        if not shown or not total:
            return
        if stage not in bars:
            end()
            bars[stage] = click.progressbar(length=total, label=stage.ljust(8), file=sys.stderr)
        bar = bars[stage]
        bar.update(done - bar.pos)

    try:
        yield progress
    finally:
        end()


def _lines(report: Report) -> Iterator[str]:
    """The report as operators read it."""
    if report.certain_until_us:
        moment = datetime.fromtimestamp(report.certain_until_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        yield f"journal: {report.segments} segments, complete until {moment}"
    else:
        yield f"journal: {report.segments} segments, complete for no moment: all objects were looked at"
    yield from _listed(
        "damaged segments", len(report.damaged_segments), [": ".join(d) for d in report.damaged_segments]
    )
    yield from _listed("missing segments", len(report.missing_segments), [str(n) for n in report.missing_segments])
    yield f"objects: {report.objects}, of which {report.examined} were read"
    yield from _listed("damaged objects", report.damaged_objects, report.damaged)
    yield from _listed("missing objects", report.missing_objects, report.missing)
    if report.foreign_keys:
        yield f"keys that are no objects': {report.foreign_keys}"
    yield f"in no mailbox any more, left where they are: {report.unplaced} (--all-objects brings them back)"
    rebuilt = report.rebuilt
    if rebuilt is None:
        yield f"newer than the journal: {report.arrivals} messages would come back by their objects' headers"
        return
    rate = rebuilt.messages / report.seconds if report.seconds else 0
    yield f"accounts: {rebuilt.accounts}, mailboxes: {rebuilt.mailboxes}"
    yield f"messages: {rebuilt.messages}, of which {rebuilt.arrivals} are newer than the journal"
    yield f"expunged messages that can be undeleted: {rebuilt.expunged}"
    yield f"took {report.seconds:.1f} s, {rate:.0f} messages/s"
    if rebuilt.renamed:
        yield f"mailboxes that got another name, as two had the same: {rebuilt.renamed}"
    addresses = [f"{account.address} ({account.uuid})" for account in rebuilt.lost_accounts]
    yield from _listed("accounts without a record, disabled", len(addresses), addresses)
    yield "Collection is frozen. Look at what came back, then: lightmail gc unfreeze"


def _listed(what: str, count: int, names: list[str]) -> Iterator[str]:
    if count:
        yield f"{what}: {count}"
        yield from (f"  {name}" for name in names[:_SHOWN])
        if count > _SHOWN:
            yield f"  … {count - _SHOWN} more (--json names up to 10,000)"
