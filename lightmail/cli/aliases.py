"""``lightmail alias``: addresses that lead to others."""

from __future__ import annotations

from typing import Final

import click

from lightmail.app import Rows
from lightmail.cli.common import config_option, console, domain_id, table, with_rows
from lightmail.operations import aliases as operations
from lightmail.store import aliases
from lightmail.store.aliases import Alias, Chosen
from lightmail.store.ranges import names_from

_PAGE: Final = 500


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
@click.option("--search", metavar="TEXT", default="", help="Only addresses that begin with it.")
def list_(domain: str | None, search: str) -> None:
    """Print the aliases of DOMAIN, or all."""

    async def work(rows: Rows) -> list[Alias]:
        chosen = Chosen(names_from(search), None if domain is None else await domain_id(rows, domain))
        found: list[Alias] = []
        while True:
            after = found[-1] if found else None
            page, _ = await rows.database.read("cli", aliases.listed_txn, chosen, after, _PAGE)
            found += page
            if len(page) < _PAGE:
                return found

    listed = with_rows(work, domain or "")
    table([("ALIAS", "TARGET"), *((found.address, found.target) for found in listed)])


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
