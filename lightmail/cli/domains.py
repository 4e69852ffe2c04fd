"""``lightmail domain``: the domains whose mail this store takes."""

from __future__ import annotations

import click

from lightmail.app import Rows
from lightmail.cli.common import config_option, console, domain_id, table, with_rows
from lightmail.operations import domains as operations
from lightmail.store import domains
from lightmail.store.cursor import Cursor


@click.group()
def domain() -> None:
    """Add, change, list or delete domains."""


_MAX_ACCOUNTS = click.option("--max-accounts", type=click.IntRange(0), help="Accounts it may have; 0: no limit.")


@domain.command("add")
@config_option
@click.argument("name")
@_MAX_ACCOUNTS
def add(name: str, max_accounts: int | None) -> None:
    """Add the domain NAME."""

    actor = console()

    async def work(rows: Rows) -> None:
        await operations.add_domain(rows.transactions, actor, name, max_accounts or 0)

    with_rows(work, name)


@domain.command("set")
@config_option
@click.argument("name")
@_MAX_ACCOUNTS
def set_(name: str, max_accounts: int | None) -> None:
    """Change the limit of the domain NAME. Accounts that it has beyond the limit stay."""
    if max_accounts is None:
        raise click.UsageError("give --max-accounts")

    actor = console()

    async def work(rows: Rows) -> None:
        await operations.limit_domain(rows.transactions, actor, await domain_id(rows, name), max_accounts)

    with_rows(work, name)


@domain.command("list")
@config_option
def list_() -> None:
    """Print each domain with the number of its accounts and how many it may have."""

    async def work(rows: Rows) -> tuple[list[tuple[str, int]], dict[str, int]]:
        return await rows.database.read("cli", _domains_txn)

    found, limits = with_rows(work)
    heading = ("DOMAIN", "ACCOUNTS", "LIMIT")
    table([heading, *((name, str(count), str(limits.get(name, "-"))) for name, count in found)])


def _domains_txn(cursor: Cursor) -> tuple[list[tuple[str, int]], dict[str, int]]:
    return domains.domains_txn(cursor), domains.limits_txn(cursor)


@domain.command("delete")
@config_option
@click.argument("name")
def delete(name: str) -> None:
    """Delete the domain NAME. It must not have accounts or aliases any more."""

    actor = console()

    async def work(rows: Rows) -> None:
        await operations.delete_domain(rows.transactions, actor, await domain_id(rows, name))

    with_rows(work, name)
