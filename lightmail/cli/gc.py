"""``lightmail gc``: the collector of garbage, for operators."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from lightmail.app import Stores
from lightmail.cli.common import config_option, with_stores
from lightmail.jobs.epochs import Epochs, EpochStatus

_MEANING = """\
Collection is frozen since {since}:
  {reason}.

To unfreeze says that this database is the only one that uses this bucket, and that it is the one to go by:
what it does not refer to will be quarantined, and deleted after [garbage] undelete_days.
Before that:
  - stop every other server that writes to this bucket with another database;
  - after a restore, look at what `lightmail verify` finds: messages of the lost time are in the bucket,
    and docs/backup.md says how to get them back.
"""


@click.group("gc")
def gc() -> None:
    """The collector of what nothing refers to any more."""


@gc.command("unfreeze")
@click.option("--yes", is_flag=True, help="Do not ask.")
@config_option
def unfreeze(yes: bool) -> None:
    """Let the collector work again, after it froze because database and bucket did not fit."""

    async def work(stores: Stores) -> bool:
        epochs = Epochs(stores.database, stores.transactions, stores.objects, stores.pool)
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
