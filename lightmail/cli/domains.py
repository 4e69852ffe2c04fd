"""``lightmail domain``: the domains whose mail this store takes."""

from __future__ import annotations

import click

from lightmail.app import Rows
from lightmail.cli.common import config_option, table, with_rows
from lightmail.operations import accounts as operations
from lightmail.store import accounts


@click.group()
def domain() -> None:
    """Add, list or delete domains."""


@domain.command("add")
@config_option
@click.argument("name")
def add(name: str) -> None:
    """Add the domain NAME."""

    async def work(rows: Rows) -> None:
        await operations.add_domain(rows.transactions, name)

    with_rows(work, name)


@domain.command("list")
@config_option
def list_() -> None:
    """Print each domain with the number of its accounts."""

    async def work(rows: Rows) -> list[tuple[str, int]]:
        return await rows.database.read("cli", accounts.domains_txn)

    table([("DOMAIN", "ACCOUNTS"), *((name, str(count)) for name, count in with_rows(work))])


@domain.command("delete")
@config_option
@click.argument("name")
def delete(name: str) -> None:
    """Delete the domain NAME. It must not have accounts or aliases any more."""

    async def work(rows: Rows) -> None:
        await operations.delete_domain(rows.transactions, name)

    with_rows(work, name)
