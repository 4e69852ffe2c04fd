"""``lightmail gc``: the collector of garbage, for operators."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click

from lightmail.app import Stores
from lightmail.cli.common import Refused, config_option, configuration, size_text, with_stores
from lightmail.config import GarbageConfig
from lightmail.jobs.epochs import Epochs, EpochStatus
from lightmail.jobs.garbage.collector import Collector, Pass, steps, text
from lightmail.jobs.garbage.status import Status, read_status
from lightmail.store.collection import COUNT_BOUND

_MEANING = """\
Collection is frozen since {since}:
  {reason}.

To unfreeze says that this database is the only one that uses this bucket, and that it is the one to go by:
what it does not refer to will be quarantined, and deleted after [garbage] undelete_days.
Before that:
  - stop every other server that writes to this bucket with another database;
  - after a restore, get back what was delivered in the lost time: it is in the bucket, and docs/backup.md says how.
"""


@click.group("gc")
def gc() -> None:
    """The collector of what nothing refers to any more."""


@gc.command("run")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON.")
@config_option
def run(as_json: bool) -> None:
    """Collect until nothing is left to be done now, beside servers that run or without any."""
    settings = _settings()

    async def work(stores: Stores) -> Pass:
        await stores.pool.run(stores.objects.check)
        epochs = Epochs(stores.database, stores.objects, stores.pool)
        made = steps(stores.transactions, stores.objects, stores.pool)
        collector = Collector(settings, stores.database, made, epochs.begin_pass)
        total = Pass(more=True)
        while total.more:
            done = await collector.once(everything=True)
            total.counts.update(done.counts)
            total.octets += done.octets
            total.frozen, total.more = done.frozen, done.more
            if not as_json and any(done.counts.values()):
                click.echo(f"{text(done.counts)}; {size_text(done.octets)} freed", err=True)
        return total

    done = with_stores(work)
    if as_json:
        counts = {kind: count for kind, count in done.counts.items() if count}
        click.echo(json.dumps({"frozen": done.frozen, "counts": counts, "octets_freed": done.octets}))
    if done.frozen:
        raise Refused("collection is frozen: nothing was deleted; see `lightmail gc status` and docs/garbage.md")
    if not as_json:
        click.echo(f"Done: {text(done.counts)}; {size_text(done.octets)} freed.")


@gc.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@config_option
def status(as_json: bool) -> None:
    """Show how far the collector is, what waits for it, and whether it is frozen."""
    settings = _settings()

    async def work(stores: Stores) -> tuple[EpochStatus, Status]:
        epochs = Epochs(stores.database, stores.objects, stores.pool)
        return await epochs.status(), await read_status(stores.database, settings)

    epoch, found = with_stores(work)
    if as_json:
        click.echo(json.dumps({"epoch": asdict(epoch), **asdict(found)}))
        return
    for line in [*epoch_lines(epoch), *status_lines(found)]:
        click.echo(line)


def _settings() -> GarbageConfig:
    return configuration().garbage or GarbageConfig()


def status_lines(found: Status) -> list[str]:
    """What ``gc status`` says of passes, backlog and rounds."""
    last = found.last_pass
    lines = [
        "no pass yet"
        if last is None
        else f"last pass at {moment(last['at_us'])}, {last['seconds']:g} s: "
        + ("frozen" if last["frozen"] else f"{text(last['counts'])}; {size_text(last['octets'])} freed")
    ]
    due = found.backlog
    lines.append(
        f"due now: messages {_up_to(due.messages)}, mailboxes {_up_to(due.mailboxes)}, objects {_up_to(due.objects)}"
    )
    lines.append(f"objects on their way out: condemned {_up_to(due.condemned)}, quarantined {_up_to(due.quarantined)}")
    lines.append("all objects: " + _round(found.sweep, "at object {after}"))
    orphans = found.orphans
    lines.append(
        "orphans: no round yet"
        if orphans is None
        else f"orphans: round of {moment(orphans['round_us'])}, {orphans['hand']} of 256 directories looked at"
    )
    lines.append("keywords: " + _round(found.keywords, "at mailbox {after}"))
    return lines


def _up_to(count: int) -> str:
    return f"{count} or more" if count >= COUNT_BOUND else str(count)


def _round(state: dict[str, Any] | None, under_way: str) -> str:
    if state is None:
        return "no round yet"
    where = "ended" if state["after"] is None else under_way.format(after=state["after"])
    return f"round of {moment(state['began_us'])}, {where}"


@gc.command("unfreeze")
@click.option("--yes", is_flag=True, help="Do not ask.")
@config_option
def unfreeze(yes: bool) -> None:
    """Let the collector work again, after it froze because database and bucket did not fit."""

    async def work(stores: Stores) -> bool:
        epochs = Epochs(stores.database, stores.objects, stores.pool)
        status = await epochs.status()
        if not status.frozen_at:
            return False
        click.echo(_MEANING.format(since=moment(status.frozen_at), reason=status.frozen_reason))
        if not yes:
            await stores.pool.run(click.confirm, "Unfreeze collection?", abort=True)
        await epochs.unfreeze()
        return True

    click.echo("Collection works again." if with_stores(work) else "Collection is not frozen.")


def epoch_lines(status: EpochStatus) -> list[str]:
    """What ``gc status`` says of epochs."""
    lines = [f"epoch {status.epoch}, {status.passes} passes"]
    if status.passes:
        lines[0] += f", the last at {moment(status.high_water_us)}"
    if status.frozen_at:
        lines.append(f"FROZEN since {moment(status.frozen_at)}: {status.frozen_reason}; see `lightmail gc unfreeze`")
    return lines


def moment(us: int) -> str:
    """A moment, Unix microseconds UTC, as operators read it."""
    return datetime.fromtimestamp(us / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
