"""``lightmail alias``: addresses that lead to others."""

from __future__ import annotations

import click

from lightmail.app import Rows
from lightmail.cli.common import config_option, console, listing, table, with_rows
from lightmail.operations import aliases as operations
from lightmail.store import aliases


@click.group()
def alias() -> None:
    """Add, list or delete aliases."""


@alias.command("add")
@config_option
@click.argument("address")
@click.argument("target")
def add(address: str, target: str) -> None:
    """Let mail to ADDRESS go to TARGET, too: an account or another alias."""

    actor = console()

    async def work(rows: Rows) -> None:
        await operations.add_alias(rows.transactions, actor, address, target)

    with_rows(work, address)


@alias.command("list")
@config_option
@click.argument("domain", required=False)
def list_(domain: str | None) -> None:
    """Print the aliases of DOMAIN, or all."""
    table([("ALIAS", "TARGET"), *((found.address, found.target) for found in listing(aliases.list_txn, domain))])


@alias.command("delete")
@config_option
@click.argument("address")
@click.argument("target", required=False)
def delete(address: str, target: str | None) -> None:
    """Delete the alias ADDRESS, or only that one of its targets."""

    actor = console()

    async def work(rows: Rows) -> None:
        await operations.delete_alias(rows.transactions, actor, address, target)

    with_rows(work, address)
