"""``lightmail mailbox``: the mailboxes of an account."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Final

import click

from lightmail.app import Rows
from lightmail.cli.common import account_id, config_option, console, size_text, table, with_rows
from lightmail.cli.undelete import clean
from lightmail.errors import NoSuchMailbox
from lightmail.model import AccountId, Mailbox
from lightmail.operations import admin_mailboxes as operations
from lightmail.operations.mailboxes import SPECIAL_USES
from lightmail.operations.names import canonical
from lightmail.store import mailboxes as stored
from lightmail.store.browsing import Counted

_PAGE: Final = 500
_USES: Final = [use.removeprefix("\\") for use in sorted(SPECIAL_USES)]


@click.group()
def mailbox() -> None:
    """List, add and delete mailboxes of an account."""


@mailbox.command("list")
@config_option
@click.argument("address")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_(address: str, as_json: bool) -> None:
    """Print the mailboxes of ADDRESS with what they hold."""
    actor = console()

    async def work(rows: Rows) -> list[Counted]:
        account = await account_id(rows, address)
        found: list[Counted] = []
        while True:
            after = found[-1].name if found else None
            page = await operations.listed(rows.transactions, actor, account, after, _PAGE)
            found += page.mailboxes
            if not page.more:
                return found

    found = with_rows(work, address)
    if as_json:
        click.echo(json.dumps([asdict(each) for each in found], indent=2))
        return
    heading = ("ID", "MESSAGES", "UNSEEN", "OCTETS", "USE", "MAILBOX")
    table([heading, *(_row(each) for each in found)])


def _row(found: Counted) -> tuple[str, ...]:
    use = (found.special_use or "-").removeprefix("\\")
    return str(found.id), str(found.messages), str(found.unseen), size_text(found.octets), use, clean(found.name)


@mailbox.command("add")
@config_option
@click.argument("address")
@click.argument("name")
@click.option("--special-use", type=click.Choice(_USES, case_sensitive=False), help="What clients use it for.")
def add(address: str, name: str, special_use: str | None) -> None:
    """Give ADDRESS a mailbox called NAME; those above it are made where they are missing."""
    actor = console()
    use = None if special_use is None else f"\\{special_use}"

    async def work(rows: Rows) -> None:
        await operations.add(rows.transactions, actor, await account_id(rows, address), name, use)

    with_rows(work, f"{address}: {clean(name)}")


@mailbox.command("delete")
@config_option
@click.argument("address")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(address: str, name: str, yes: bool) -> None:
    """Delete the mailbox NAME of ADDRESS with its messages; `lightmail undelete` brings them back."""
    if not yes:
        click.confirm(f"Delete {clean(name)} of {address} with all its messages?", abort=True, err=True)
    actor = console()

    async def work(rows: Rows) -> None:
        found = await named(rows, await account_id(rows, address), name)
        await operations.delete(rows.transactions, actor, found.id)

    with_rows(work, f"{address}: {clean(name)}")


async def named(rows: Rows, account: AccountId, name: str) -> Mailbox:
    """The account's mailbox of a name as people write it. Raises NoSuchMailbox, Invalid, LimitReached."""
    found = await rows.database.read("cli", stored.by_name_txn, account, canonical(name))
    if found is None:
        raise NoSuchMailbox
    return found
