"""``lightmail admin``: who may sign in to the admin web."""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable

import click

from lightmail.app import Rows
from lightmail.auth import totp
from lightmail.auth.passwords import hash_password
from lightmail.cli.common import (
    Refused,
    config_option,
    configuration,
    console,
    domain_id,
    read_password,
    table,
    with_rows,
)
from lightmail.cli.gc import moment
from lightmail.errors import NoSuchAdministrator
from lightmail.operations import administrators as operations
from lightmail.operations.actors import Actor
from lightmail.store import administrators

_STDIN = click.option("--password-stdin", is_flag=True, help="Read the password from standard input's first line.")
_DOMAINS = click.option(
    "--domain", "names", multiple=True, metavar="DOMAIN", help="Only this domain; may be given several times."
)


@click.group()
def admin() -> None:
    """Add, change, list or delete administrators, who sign in to the admin web."""


@admin.command("add")
@config_option
@click.argument("name")
@_DOMAINS
@_STDIN
def add(name: str, names: tuple[str, ...], password_stdin: bool) -> None:
    """Add the administrator NAME, of the server or of some domains. Asks for the password."""
    actor = console()
    password_hash = hash_password(read_password(password_stdin))

    async def work(rows: Rows) -> None:
        domains = [await domain_id(rows, domain) for domain in names] or None
        await operations.add_administrator(rows.transactions, actor, name, password_hash, domains)

    with_rows(work, name)


@admin.command("set")
@config_option
@click.argument("name")
@_DOMAINS
@click.option("--server", is_flag=True, help="The whole server.")
def set_(name: str, names: tuple[str, ...], server: bool) -> None:
    """Change what NAME administers."""
    if server == bool(names):
        raise click.UsageError("give --server, or --domain once or several times")

    async def change(rows: Rows, actor: Actor, administrator: int) -> None:
        domains = None if server else [await domain_id(rows, domain) for domain in names]
        await operations.set_role(rows.transactions, actor, administrator, domains)

    _change(name, change)


@admin.command("list")
@config_option
def list_() -> None:
    """Print each administrator with what he administers."""

    async def work(rows: Rows) -> list[administrators.Administrator]:
        return await rows.database.read("cli", administrators.list_txn)

    rows = [
        (
            found.name,
            "active" if found.active else "disabled",
            "yes" if found.has_totp else "no",
            moment(found.last_sign_in_us) if found.last_sign_in_us else "never",
            "the server" if found.server else ", ".join(name for _, name in found.domains) or "nothing",
        )
        for found in with_rows(work)
    ]
    table([("NAME", "STATE", "CODES", "LAST SIGN-IN", "ADMINISTERS"), *rows])


@admin.command("passwd")
@config_option
@click.argument("name")
@_STDIN
def passwd(name: str, password_stdin: bool) -> None:
    """Give NAME another password; whoever is signed in as NAME is signed out."""
    password_hash = hash_password(read_password(password_stdin))

    async def change(rows: Rows, actor: Actor, administrator: int) -> None:
        await operations.set_password(rows.transactions, actor, administrator, password_hash)

    _change(name, change)


@admin.command("disable")
@config_option
@click.argument("name")
def disable(name: str) -> None:
    """Do not let NAME sign in any more."""
    _set_active(name, False)


@admin.command("enable")
@config_option
@click.argument("name")
def enable(name: str) -> None:
    """Undo `disable`."""
    _set_active(name, True)


@admin.command("sign-out")
@config_option
@click.argument("name")
def sign_out(name: str) -> None:
    """Sign NAME out on every browser, such as when a computer is lost; the password stays."""

    async def change(rows: Rows, actor: Actor, administrator: int) -> None:
        await operations.sign_out(rows.transactions, actor, administrator)

    _change(name, change)


@admin.command("add-codes")
@config_option
@click.argument("name")
def add_codes(name: str) -> None:
    """Ask NAME for codes of an authenticator app from now on.

    Prints the key that the app is to be given, and asks for the code that it shows then: from standard input where
    there is no terminal.
    """
    secret = totp.new_secret()
    known = operations.administrator_name(name)
    click.echo(f"key: {totp.key_text(secret)}")
    click.echo(totp.key_uri(secret, known, configuration().system.hostname))
    given = click.prompt("Code that the app shows", err=True) if sys.stdin.isatty() else sys.stdin.readline()
    step = totp.matching_step(secret, given, time.time(), 0)
    if step is None:
        raise Refused(f"{name}: that is not the code that the app should show now; is its clock right?")

    async def change(rows: Rows, actor: Actor, administrator: int) -> None:
        await operations.set_totp(rows.transactions, actor, administrator, secret, step)

    _change(name, change)


@admin.command("drop-codes")
@config_option
@click.argument("name")
def drop_codes(name: str) -> None:
    """Ask NAME for no codes of an authenticator app any more, such as when the phone is lost."""

    async def change(rows: Rows, actor: Actor, administrator: int) -> None:
        await operations.set_totp(rows.transactions, actor, administrator, b"")

    _change(name, change)


@admin.command("delete")
@config_option
@click.argument("name")
def delete(name: str) -> None:
    """Delete the administrator NAME."""

    async def change(rows: Rows, actor: Actor, administrator: int) -> None:
        await operations.delete_administrator(rows.transactions, actor, administrator)

    _change(name, change)


def _set_active(name: str, active: bool) -> None:
    async def change(rows: Rows, actor: Actor, administrator: int) -> None:
        await operations.set_active(rows.transactions, actor, administrator, active)

    _change(name, change)


def _change(name: str, change: Callable[[Rows, Actor, int], Awaitable[None]]) -> None:
    """Change the administrator of that name. Raises Refused."""
    actor = console()

    async def work(rows: Rows) -> None:
        known = operations.administrator_name(name)
        found = await rows.database.read("cli", administrators.by_name_txn, known)
        if found is None:
            raise NoSuchAdministrator
        await change(rows, actor, found.administrator.id)

    with_rows(work, name)
