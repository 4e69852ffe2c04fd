"""``lightmail webhook``: who is told of events, what has not arrived, and another attempt."""

from __future__ import annotations

import json
from typing import Any

import click

from lightmail.app import Rows
from lightmail.cli.common import Refused, config_option, configuration, console, table, with_rows
from lightmail.cli.gc import moment
from lightmail.operations import webhooks as operations
from lightmail.store.webhooks import Queued, list_txn
from lightmail.webhooks import Attempt, Sender
from lightmail.webhooks.signing import new_secret


@click.group()
def webhook() -> None:
    """Try the receiver of events, and see to events that have not arrived."""


@webhook.command("secret")
@config_option
def secret() -> None:
    """Print a new secret for [webhook] secret, and for the receiver."""
    click.echo(new_secret())


@webhook.command("test")
@config_option
def test() -> None:
    """Tell the receiver of an event of the kind webhook.test, and print what it answers."""
    config, actor = configuration().webhook, console()
    if not config.enabled:
        raise Refused("no webhook is enabled; see [webhook] in the configuration")

    async def work(rows: Rows) -> tuple[bytes, Attempt]:
        sender = Sender(config, rows.database.reactor)
        try:
            return await operations.test(rows.transactions, actor, sender)
        finally:
            await sender.close()

    event_id, attempt = with_rows(work)
    if not attempt.arrived:
        raise Refused(f"{config.url}: {attempt.error}")
    click.echo(f"evt_{event_id.hex()} arrived: {attempt.status} in {attempt.seconds * 1000:.0f} ms")


@webhook.command("list")
@config_option
@click.option("--failed/--waiting", default=None, help="Only those that were given up, or only those that wait.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="How many at most.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_(failed: bool | None, limit: int, as_json: bool) -> None:
    """Print the events that have not arrived, the oldest first. Times are UTC."""

    async def work(rows: Rows) -> list[Queued]:
        return await rows.database.read("webhook-list", list_txn, 0, limit + 1, failed)

    found = with_rows(work)
    shown = found[:limit]
    if as_json:
        click.echo(json.dumps([_document(event) for event in shown], indent=2))
        return
    heading = ("ID", "KIND", "CREATED", "ATTEMPTS", "AGAIN", "LAST ERROR")
    table([heading, *(_row(event) for event in shown)])
    if len(found) > limit:
        click.echo(f"the first {limit}; --limit shows more", err=True)


@webhook.command("retry")
@config_option
@click.argument("ids", nargs=-1, type=click.IntRange(1), metavar="[ID]...")
@click.option("--all", "everything", is_flag=True, help="All that were given up.")
def retry(ids: tuple[int, ...], everything: bool) -> None:
    """Have the events with these IDs tried again at once, as if for the first time."""
    if bool(ids) == everything:
        raise click.UsageError("give IDs, or --all")
    actor = console()

    async def work(rows: Rows) -> int:
        if everything:
            return await operations.retry_failed(rows.transactions, actor)
        return await operations.retry(rows.transactions, actor, ids)

    count = with_rows(work)
    click.echo(f"{count} event{'s are' if count != 1 else ' is'} tried again")


def _row(event: Queued) -> tuple[str, ...]:
    again = "given up" if event.failed_us else moment(event.next_us)
    return str(event.id), event.kind, moment(event.created_us), str(event.attempts), again, event.last_error


def _document(event: Queued) -> dict[str, Any]:
    return {
        "id": event.id,
        "event_id": f"evt_{event.event_id.hex()}",
        "kind": event.kind,
        "account_id": event.account,
        "created_at": moment(event.created_us),
        "attempts": event.attempts,
        "next_at": None if event.failed_us else moment(event.next_us),
        "failed_at": moment(event.failed_us) if event.failed_us else None,
        "last_error": event.last_error,
    }
