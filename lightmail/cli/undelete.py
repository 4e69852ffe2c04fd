"""``lightmail undelete``: what was expunged, and mailboxes that were deleted, come back."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import click

from lightmail.app import Rows
from lightmail.cli.common import config_option, console, size_text, table, with_rows
from lightmail.cli.gc import moment
from lightmail.errors import NoSuchAccount
from lightmail.model import Account
from lightmail.operations import undelete as operations
from lightmail.operations.undelete import Outcome, Plan
from lightmail.store import accounts
from lightmail.store import undelete as stored
from lightmail.store.addresses import normalised
from lightmail.store.undelete import FOR_EVER_US, Expunged, Filters, Origin

F = TypeVar("F", bound=Callable[..., Any])

_UNITS: Final = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_COLUMN: Final = 48


class Moment(click.ParamType[int]):
    """A moment as Unix microseconds: ``2026-03-01``, ``2026-03-01T14:05``, in UTC unless it says otherwise, or ``3d``
    for three days ago (minutes m, hours h, weeks w)."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The moment."""
        if isinstance(value, int):
            return value
        age = re.fullmatch(r"([0-9]{1,6})([mhdw])", value)
        if age:
            return int((time.time() - int(age[1]) * _UNITS[age[2]]) * 1_000_000)
        try:
            read = datetime.fromisoformat(value)
        except ValueError:
            self.fail("must be a date such as 2026-03-01, a time such as 2026-03-01T14:05, or an age such as 3d")
        return int((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp() * 1_000_000)


def choosing(command: F) -> F:
    """The options that say which deletions are meant."""
    options = (
        click.option("--mailbox", metavar="MAILBOX", help="Only what was in the mailbox of that name."),
        click.option(
            "--since", type=Moment(), help="Deleted then or later: 2026-03-01, 2026-03-01T14:05, or an age: 3d."
        ),
        click.option("--until", type=Moment(), help="Deleted before that."),
        click.option("--sender", metavar="TEXT", default="", help="Part of the From field, in any case."),
        click.option("--subject", metavar="TEXT", default="", help="Part of the Subject field, in any case."),
        click.option("--deleted-mailboxes", is_flag=True, help="Mailboxes that were deleted, with all they held."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group()
def undelete() -> None:
    """List and restore messages that were expunged, and mailboxes that were deleted."""


@undelete.command("list")
@config_option
@click.argument("account")
@choosing
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="How many at most.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_(
    account: str,
    mailbox: str | None,
    since: int | None,
    until: int | None,
    sender: str,
    subject: str,
    deleted_mailboxes: bool,
    limit: int,
    as_json: bool,
) -> None:
    """Print what can be restored of ACCOUNT, what was deleted last first. Times are UTC."""
    filters = chosen(mailbox, since, until, sender, subject, deleted_mailboxes)

    async def work(rows: Rows) -> tuple[list[Origin], list[Expunged]]:
        owner = await _account(rows, account)
        origins = await rows.database.read("undelete plan", stored.origins_txn, owner.id, filters)
        if deleted_mailboxes:
            return origins, []
        return origins, await rows.database.read("undelete list", stored.list_txn, owner.id, filters, limit)

    origins, messages = with_rows(work, account)
    if deleted_mailboxes:
        _print_mailboxes(sorted(origins, key=lambda origin: -origin.deleted_us)[:limit], as_json)
        return
    _print_messages(messages, as_json)
    found = sum(origin.messages for origin in origins)
    if found > len(messages) and not as_json:
        click.echo(f"{len(messages)} of {found}; --limit shows more", err=True)


def _print_mailboxes(origins: list[Origin], as_json: bool) -> None:
    if as_json:
        click.echo(
            json.dumps(
                [
                    {
                        "id": origin.id,
                        "mailbox": origin.name,
                        "deleted": moment(origin.deleted_us),
                        "messages": origin.messages,
                        "octets": origin.octets,
                    }
                    for origin in origins
                ],
                indent=2,
            )
        )
        return
    table(
        [
            ("ID", "DELETED", "MESSAGES", "OCTETS", "MAILBOX"),
            *(
                (
                    str(origin.id),
                    moment(origin.deleted_us),
                    str(origin.messages),
                    size_text(origin.octets),
                    clean(origin.name),
                )
                for origin in origins
            ),
        ]
    )


def _print_messages(messages: list[Expunged], as_json: bool) -> None:
    if as_json:
        click.echo(
            json.dumps(
                [
                    {
                        "id": message.id,
                        "mailbox": message.mailbox,
                        "mailbox_deleted": bool(message.mailbox_deleted_us),
                        "deleted": moment(message.deleted_us),
                        "internaldate": moment(message.internaldate_us),
                        "octets": message.octets,
                        "from": message.sender,
                        "subject": message.subject,
                    }
                    for message in messages
                ],
                indent=2,
            )
        )
        return
    table(
        [
            ("ID", "DELETED", "OCTETS", "MAILBOX", "FROM", "SUBJECT"),
            *(
                (
                    str(message.id),
                    moment(message.deleted_us),
                    size_text(message.octets),
                    clean(message.mailbox),
                    clean(message.sender),
                    clean(message.subject),
                )
                for message in messages
            ),
        ]
    )


def clean(text: str, most: int = _COLUMN) -> str:
    """What strangers wrote, fit for a terminal: no controls, and cut."""
    shown = "".join(character if character.isprintable() else "?" for character in text[: most + 1])
    return shown if len(shown) <= most else shown[: most - 1] + "…"


@undelete.command("restore")
@config_option
@click.argument("account")
@click.argument("ids", nargs=-1, type=click.IntRange(1), metavar="[ID]...")
@choosing
@click.option("--all", "everything", is_flag=True, help="All that can be restored.")
@click.option("--into", metavar="MAILBOX", help="Restore into that mailbox, which is made where it is missing.")
@click.option("--dry-run", is_flag=True, help="Only say what would be restored.")
def restore(
    account: str,
    ids: tuple[int, ...],
    mailbox: str | None,
    since: int | None,
    until: int | None,
    sender: str,
    subject: str,
    deleted_mailboxes: bool,
    everything: bool,
    into: str | None,
    dry_run: bool,
) -> None:
    """Restore messages of ACCOUNT: those with the IDs that `list` prints, or those that the options choose.

    They go back to the mailbox they were in, which is made where it is gone, as new messages with their flags and
    dates. With --deleted-mailboxes the IDs are those of mailboxes. Where not all of it fits into the quota, nothing is
    restored.
    """
    filters = chosen(mailbox, since, until, sender, subject, deleted_mailboxes, ids)
    narrowed = filters != Filters(whole=filters.whole, ids=ids)
    if ids and narrowed:
        raise click.UsageError("give IDs, or options that choose, not both")
    if not (ids or narrowed or deleted_mailboxes or everything):
        raise click.UsageError("say what to restore: IDs, options that choose, or --all")
    actor = console()

    async def work(rows: Rows) -> tuple[Plan, Outcome]:
        owner = await _account(rows, account)
        planned = await operations.plan(rows.transactions, owner, filters, into)
        if dry_run:
            return planned, Outcome()
        if not sys.stderr.isatty():
            return planned, await operations.restore(rows.transactions, actor, owner, filters, planned)
        with click.progressbar(length=planned.messages, label="restoring", file=sys.stderr) as bar:
            return planned, await operations.restore(rows.transactions, actor, owner, filters, planned, bar.update)

    planned, outcome = with_rows(work, account)
    if not planned.messages:
        click.echo("There is nothing to restore.")
    for origin, name in planned.moves if dry_run else ():
        source = f"{clean(origin.name)}{' (deleted)' if origin.deleted_us else ''}"
        what = f"{_messages(origin.messages)} of {size_text(origin.octets)} octets"
        click.echo(f"would restore {what}: {source} -> {clean(name)}")
    for name, count in outcome.restored.items():
        click.echo(f"restored {_messages(count)} into {clean(name)}")


def _messages(count: int) -> str:
    return f"{count} message{'s' if count != 1 else ''}"


def chosen(
    mailbox: str | None,
    since: int | None,
    until: int | None,
    sender: str,
    subject: str,
    deleted_mailboxes: bool,
    ids: tuple[int, ...] = (),
) -> Filters:
    """The filter that the options of `choosing` say."""
    return Filters(
        mailbox=mailbox,
        since_us=since or 0,
        until_us=FOR_EVER_US if until is None else until,
        sender=sender,
        subject=subject,
        ids=ids,
        whole=deleted_mailboxes,
    )


async def _account(rows: Rows, address: str) -> Account:
    found = await rows.database.read("account", accounts.by_address_txn, normalised(address))
    if found is None:
        raise NoSuchAccount
    return found[0]
