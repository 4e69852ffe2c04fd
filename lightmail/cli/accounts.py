"""``lightmail account``: who has mail here."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any, Final

import click

from lightmail.app import Rows, Stores
from lightmail.auth.passwords import hash_password
from lightmail.cli.common import (
    Refused,
    Size,
    account_id,
    config_option,
    configuration,
    console,
    domain_id,
    read_password,
    size_text,
    table,
    with_rows,
    with_stores,
)
from lightmail.cli.gc import moment
from lightmail.config import GarbageConfig
from lightmail.errors import NoSuchAccount
from lightmail.model import AccountId
from lightmail.operations.accounts import Change, add_account, change_account, delete_account
from lightmail.operations.undelete import restore_account
from lightmail.store import profiles
from lightmail.store.addresses import normalised
from lightmail.store.profiles import Profile
from lightmail.store.ranges import names_from
from lightmail.store.undelete import DeletedAccount, restorable_accounts_txn
from lightmail.web.discovery import mobileconfig
from lightmail.web.discovery.servers import Server, Servers, servers

_PAGE: Final = 500
_QUOTA = click.option("--quota", type=Size(), help="Octets that its messages may sum up to, such as 10G; 0: no limit.")
_MESSAGES = click.option("--quota-messages", type=click.IntRange(0), help="Messages it may hold; 0: no limit.")
_FULL_NAME = click.option("--full-name", metavar="NAME", help="What its owner is called.")
_STDIN = click.option("--password-stdin", is_flag=True, help="Read the password from standard input's first line.")


@click.group()
def account() -> None:
    """Add, change, list, show, delete or restore accounts; say what to enter in a mail client."""


@account.command("add")
@config_option
@click.argument("address")
@_FULL_NAME
@_QUOTA
@_MESSAGES
@_STDIN
def add(
    address: str, full_name: str | None, quota: int | None, quota_messages: int | None, password_stdin: bool
) -> None:
    """Add the account ADDRESS with its first mailboxes. Asks for the password."""
    actor = console()
    password_hash = hash_password(read_password(password_stdin))

    async def work(rows: Rows) -> None:
        await add_account(
            rows.transactions,
            actor,
            address,
            password_hash,
            quota_octets=quota or 0,
            quota_messages=quota_messages or 0,
            full_name=full_name or "",
        )

    with_rows(work, address)


@account.command("set")
@config_option
@click.argument("address")
@_FULL_NAME
@_QUOTA
@_MESSAGES
def set_(address: str, full_name: str | None, quota: int | None, quota_messages: int | None) -> None:
    """Change the full name or the quotas of ADDRESS."""
    change = Change(full_name=full_name, quota_octets=quota, quota_messages=quota_messages)
    if not change.given():
        raise click.UsageError("give --full-name, --quota, --quota-messages or several of them")
    _change(address, change)


def _change(address: str, change: Change) -> None:
    actor = console()

    async def work(rows: Rows) -> None:
        await change_account(rows.transactions, actor, await account_id(rows, address), change)

    with_rows(work, address)


@account.command("list")
@config_option
@click.argument("domain", required=False)
@click.option("--search", metavar="TEXT", default="", help="Only addresses that begin with it.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_(domain: str | None, search: str, as_json: bool) -> None:
    """Print the accounts of DOMAIN, or all, with what they hold and may hold."""

    async def work(rows: Rows) -> list[Profile]:
        within = None if domain is None else await domain_id(rows, domain)
        found: list[Profile] = []
        while True:
            names = names_from(search, found[-1].address if found else None)
            page = await rows.database.read("cli", profiles.page_txn, within, names, _PAGE)
            found += page
            if len(page) < _PAGE:
                return found

    listed = with_rows(work, domain or "")
    if as_json:
        click.echo(json.dumps([_document(found) for found in listed], indent=2, ensure_ascii=False))
        return
    heading = ("ADDRESS", "STATE", "MESSAGES", "QUOTA", "OCTETS", "QUOTA", "NAME")
    table([heading, *(_row(found) for found in listed)])


def _row(found: Profile) -> tuple[str, ...]:
    return (
        found.address,
        "active" if found.active else "disabled",
        str(found.used_messages),
        str(found.quota_messages or "-"),
        size_text(found.used_octets),
        size_text(found.quota_octets) if found.quota_octets else "-",
        found.full_name,
    )


def _document(found: Profile) -> dict[str, Any]:
    return {
        "id": found.id,
        "address": found.address,
        "full_name": found.full_name,
        "active": found.active,
        "quota_octets": found.quota_octets,
        "quota_messages": found.quota_messages,
        "used_octets": found.used_octets,
        "used_messages": found.used_messages,
        "created_at": moment(found.created_us),
    }


@account.command("show")
@config_option
@click.argument("address")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def show(address: str, as_json: bool) -> None:
    """Print what ADDRESS is set to, and what it uses."""

    async def work(rows: Rows) -> Profile:
        found = await rows.database.read("cli", profiles.by_address_txn, normalised(address))
        if found is None:
            raise NoSuchAccount
        return found

    found = with_rows(work, address)
    if as_json:
        click.echo(json.dumps(_document(found), indent=2, ensure_ascii=False))
        return
    octets = f"{size_text(found.used_octets)} of {size_text(found.quota_octets) if found.quota_octets else 'any'}"
    lines = (
        ("address", found.address),
        ("id", str(found.id)),
        ("name", found.full_name or "-"),
        ("state", "active" if found.active else "disabled"),
        ("octets", octets),
        ("messages", f"{found.used_messages} of {found.quota_messages or 'any'}"),
        ("since", moment(found.created_us)),
    )
    for name, value in lines:
        click.echo(f"{name:<9} {value}")


@account.command("passwd")
@config_option
@click.argument("address")
@_STDIN
def passwd(address: str, password_stdin: bool) -> None:
    """Give ADDRESS another password, and end its sessions."""
    _change(address, Change(password_hash=hash_password(read_password(password_stdin))))


@account.command("disable")
@config_option
@click.argument("address")
def disable(address: str) -> None:
    """Let nobody log in as ADDRESS, and end its sessions; its mail is deferred by the sender's server."""
    _change(address, Change(active=False))


@account.command("enable")
@config_option
@click.argument("address")
def enable(address: str) -> None:
    """Undo `disable`."""
    _change(address, Change(active=True))


@account.command("delete")
@config_option
@click.argument("address")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(address: str, yes: bool) -> None:
    """Delete ADDRESS with all its mail."""
    if not yes:
        click.confirm(f"Delete {address} with all its mail?", abort=True, err=True)
    actor = console()

    async def work(rows: Rows) -> None:
        await delete_account(rows.transactions, actor, await account_id(rows, address))

    with_rows(work, address)


@account.command("deleted")
@config_option
@click.argument("domain", required=False)
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="How many at most.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def deleted(domain: str | None, limit: int, as_json: bool) -> None:
    """Print the deleted accounts of DOMAIN, or all, that `restore` can bring back, the newest first. Times are UTC."""
    days = (configuration().garbage or GarbageConfig()).undelete_days

    async def work(rows: Rows) -> list[DeletedAccount]:
        within = None if domain is None else await domain_id(rows, domain)
        window_us = days * 86_400_000_000
        return await rows.database.read("cli", restorable_accounts_txn, within, window_us, None, limit)

    found = with_rows(work, domain or "")
    if as_json:
        click.echo(json.dumps([_deleted_document(each) for each in found], indent=2, ensure_ascii=False))
        return
    rows = [(str(each.id), moment(each.deleted_us), str(each.messages), each.address) for each in found]
    table([("ID", "DELETED", "MESSAGES", "ADDRESS"), *rows])


def _deleted_document(found: DeletedAccount) -> dict[str, Any]:
    return {
        "id": found.id,
        "address": found.address,
        "deleted_at": moment(found.deleted_us),
        "messages": found.messages,
    }


@account.command("settings")
@config_option
@click.argument("address")
@click.option("--profile", is_flag=True, help="Print the profile for Apple's devices instead.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def settings(address: str, profile: bool, as_json: bool) -> None:
    """Print what the owner of ADDRESS enters in a mail client.

    Most clients find it by themselves. With --profile, for an iPhone, iPad or Mac: keep the output in a file whose name
    ends with .mobileconfig, and open that on the device.
    """
    if profile and as_json:
        raise click.UsageError("give --profile or --json, not both")
    config = configuration()

    async def work(stores: Stores) -> tuple[str, bytes]:
        found = await stores.database.read("cli", profiles.by_address_txn, normalised(address))
        if found is None:
            raise Refused(f"{address}: {NoSuchAccount()}")
        made = await mobileconfig.signed_if_possible(stores.pool, config, found.address) if profile else b""
        return found.address, made

    known, made = with_stores(work)
    told = servers(config)
    if profile:
        sys.stdout.buffer.write(made)
    elif as_json:
        click.echo(json.dumps({"user_name": known, "servers": [asdict(each) for each in _all(told)]}, indent=2))
    else:
        table([("USE", "SERVER", "PORT", "SECURITY", "USER NAME"), *(_server_row(each, known) for each in _all(told))])
        if not told.incoming:
            click.echo("this server takes no connections of mail clients: neither [imap] nor [pop3] is there", err=True)


def _all(told: Servers) -> tuple[Server, ...]:
    return (*told.incoming, told.outgoing)


def _server_row(each: Server, address: str) -> tuple[str, ...]:
    security = "SSL/TLS" if each.security == "tls" else "STARTTLS"
    return each.protocol.upper(), each.host, str(each.port), security, address


@account.command("restore")
@config_option
@click.argument("address")
@click.option("--id", "chosen", type=click.IntRange(1), help="Which one, where several of that address were deleted.")
def restore(address: str, chosen: int | None) -> None:
    """Bring the deleted account ADDRESS back, with its password, mailboxes and mail.

    Deletions can be undone for [garbage] undelete_days.
    """
    actor = console()
    days = (configuration().garbage or GarbageConfig()).undelete_days
    of = None if chosen is None else AccountId(chosen)

    async def work(rows: Rows) -> DeletedAccount:
        return await restore_account(rows.transactions, actor, address, days, of)

    restored = with_rows(work, address)
    click.echo(f"restored {restored.address} with {restored.messages} messages")
