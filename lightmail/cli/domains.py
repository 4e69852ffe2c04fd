"""``lightmail domain``: the domains whose mail this store takes."""

from __future__ import annotations

from typing import Final

import click

from lightmail.app import Rows
from lightmail.cli.common import config_option, configuration, console, domain_id, table, with_rows
from lightmail.cli.gc import moment
from lightmail.errors import NoSuchDomain
from lightmail.operations import domains as operations
from lightmail.store import domains
from lightmail.store.addresses import normalised_domain
from lightmail.store.domains import Domain
from lightmail.store.ranges import names_from

_ALL: Final = 1 << 31


@click.group()
def domain() -> None:
    """Add, change, list, show or delete domains."""


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

    async def work(rows: Rows) -> list[Domain]:
        return await rows.database.read("cli", domains.page_txn, names_from(), _ALL)

    heading = ("DOMAIN", "ACCOUNTS", "LIMIT")
    table([heading, *((each.name, str(each.accounts), str(each.max_accounts or "-")) for each in with_rows(work))])


@domain.command("show")
@config_option
@click.argument("name")
def show(name: str) -> None:
    """Print what the domain NAME has and may have, and what leads mail to it in DNS and in Postfix."""
    hostname = configuration().system.hostname

    async def work(rows: Rows) -> Domain:
        found = await rows.database.read("cli", domains.by_name_txn, normalised_domain(name))
        if found is None:
            raise NoSuchDomain
        return found

    found = with_rows(work, name)
    lines = (
        ("domain", found.name),
        ("accounts", f"{found.accounts} of {found.max_accounts or 'any'}"),
        ("since", moment(found.created_us)),
        ("DNS", f"{found.name}. MX 10 {hostname}."),
        ("Postfix", f"virtual_mailbox_domains = {found.name}"),
    )
    for what, value in lines:
        click.echo(f"{what:<9} {value}")


@domain.command("delete")
@config_option
@click.argument("name")
def delete(name: str) -> None:
    """Delete the domain NAME. It must not have accounts or aliases any more."""

    actor = console()

    async def work(rows: Rows) -> None:
        await operations.delete_domain(rows.transactions, actor, await domain_id(rows, name))

    with_rows(work, name)
