"""``lightmail account``: who has mail here."""

from __future__ import annotations

import click

from lightmail.app import Rows
from lightmail.auth.passwords import hash_password
from lightmail.cli.common import (
    Size,
    config_option,
    configuration,
    listing,
    read_password,
    size_text,
    table,
    with_rows,
)
from lightmail.cli.undelete import operator
from lightmail.config import GarbageConfig
from lightmail.model import Account, AccountId, Usage
from lightmail.operations import accounts as operations
from lightmail.operations.undelete import restore_account
from lightmail.store import accounts
from lightmail.store.undelete import DeletedAccount

_QUOTA = click.option("--quota", type=Size(), help="Octets that its messages may sum up to, such as 10G; 0: no limit.")
_MESSAGES = click.option("--quota-messages", type=click.IntRange(0), help="Messages it may hold; 0: no limit.")
_STDIN = click.option("--password-stdin", is_flag=True, help="Read the password from standard input's first line.")


@click.group()
def account() -> None:
    """Add, change, list, delete or restore accounts."""


@account.command("add")
@config_option
@click.argument("address")
@_QUOTA
@_MESSAGES
@_STDIN
def add(address: str, quota: int | None, quota_messages: int | None, password_stdin: bool) -> None:
    """Add the account ADDRESS with its first mailboxes. Asks for the password."""
    password_hash = hash_password(read_password(password_stdin))

    async def work(rows: Rows) -> None:
        await operations.add_account(
            rows.transactions,
            address,
            password_hash,
            quota_octets=quota or 0,
            quota_messages=quota_messages or 0,
        )

    with_rows(work, address)


@account.command("set")
@config_option
@click.argument("address")
@_QUOTA
@_MESSAGES
def set_(address: str, quota: int | None, quota_messages: int | None) -> None:
    """Change the quotas of ADDRESS."""
    if quota is None and quota_messages is None:
        raise click.UsageError("give --quota, --quota-messages or both")

    async def work(rows: Rows) -> None:
        await operations.set_quota(rows.transactions, address, octets=quota, messages=quota_messages)

    with_rows(work, address)


@account.command("list")
@config_option
@click.argument("domain", required=False)
def list_(domain: str | None) -> None:
    """Print the accounts of DOMAIN, or all, with what they hold and may hold."""
    heading = ("ADDRESS", "STATE", "MESSAGES", "QUOTA", "OCTETS", "QUOTA")
    table([heading, *(_row(found, usage) for found, usage in listing(accounts.list_txn, domain))])


def _row(found: Account, usage: Usage) -> tuple[str, ...]:
    return (
        found.address,
        "active" if found.active else "disabled",
        str(usage.messages),
        str(found.quota_messages or "-"),
        size_text(usage.octets),
        size_text(found.quota_octets) if found.quota_octets else "-",
    )


@account.command("passwd")
@config_option
@click.argument("address")
@_STDIN
def passwd(address: str, password_stdin: bool) -> None:
    """Give ADDRESS another password."""
    password_hash = hash_password(read_password(password_stdin))

    async def work(rows: Rows) -> None:
        await operations.set_password(rows.transactions, address, password_hash)

    with_rows(work, address)


@account.command("disable")
@config_option
@click.argument("address")
def disable(address: str) -> None:
    """Let nobody log in as ADDRESS; its mail is deferred by the sender's server."""
    _set_active(address, False)


@account.command("enable")
@config_option
@click.argument("address")
def enable(address: str) -> None:
    """Undo `disable`."""
    _set_active(address, True)


def _set_active(address: str, active: bool) -> None:
    async def work(rows: Rows) -> None:
        await operations.set_active(rows.transactions, address, active)

    with_rows(work, address)


@account.command("delete")
@config_option
@click.argument("address")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(address: str, yes: bool) -> None:
    """Delete ADDRESS with all its mail."""
    if not yes:
        click.confirm(f"Delete {address} with all its mail?", abort=True, err=True)

    async def work(rows: Rows) -> None:
        await operations.delete_account(rows.transactions, address)

    with_rows(work, address)


@account.command("restore")
@config_option
@click.argument("address")
@click.option("--id", "chosen", type=click.IntRange(1), help="Which one, where several of that address were deleted.")
def restore(address: str, chosen: int | None) -> None:
    """Bring the deleted account ADDRESS back, with its password, mailboxes and mail.

    Deletions can be undone for [garbage] undelete_days.
    """
    actor = operator()
    days = (configuration().garbage or GarbageConfig()).undelete_days
    of = None if chosen is None else AccountId(chosen)

    async def work(rows: Rows) -> DeletedAccount:
        return await restore_account(rows.transactions, address, days, actor, of)

    restored = with_rows(work, address)
    click.echo(f"restored {restored.address} with {restored.messages} messages")
