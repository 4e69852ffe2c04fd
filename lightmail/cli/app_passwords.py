"""``lightmail app-password``: further passwords of accounts, each for one of their owners' clients."""

from __future__ import annotations

import json

import click

from lightmail.app import Rows
from lightmail.auth.app_passwords import PROTOCOLS
from lightmail.cli.common import account_id, config_option, console, table, with_rows
from lightmail.cli.gc import moment
from lightmail.operations import app_passwords as operations
from lightmail.operations.app_passwords import Issued
from lightmail.store import app_passwords
from lightmail.store.app_passwords import AppPassword


@click.group("app-password")
def app_password() -> None:
    """Add, list or revoke further passwords of accounts, one for each client."""


@app_password.command("add")
@config_option
@click.argument("address")
@click.argument("name")
@click.option(
    "--protocol",
    "protocols",
    type=click.Choice(PROTOCOLS),
    multiple=True,
    help="Let it log in by this one only; may be given several times.",
)
def add(address: str, name: str, protocols: tuple[str, ...]) -> None:
    """Make an app password of ADDRESS for the client NAME, such as "phone", and print it: it is shown this once."""
    actor = console()

    async def work(rows: Rows) -> Issued:
        owner = await account_id(rows, address)
        return await operations.add_app_password(rows.transactions, actor, owner, name, protocols or PROTOCOLS)

    click.echo(with_rows(work, address).secret)


@app_password.command("list")
@config_option
@click.argument("address")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_(address: str, as_json: bool) -> None:
    """Print the app passwords of ADDRESS, and when they were last used. Times are UTC."""

    async def work(rows: Rows) -> list[AppPassword]:
        return await rows.database.read("cli", app_passwords.list_txn, await account_id(rows, address))

    found = with_rows(work, address)
    if as_json:
        documents = [
            {
                "id": each.id,
                "name": each.name,
                "protocols": each.protocols,
                "created_at": moment(each.created_us),
                "last_used_at": moment(each.last_used_us) if each.last_used_us else None,
                "last_used_from": each.last_used_from or None,
            }
            for each in found
        ]
        click.echo(json.dumps(documents, indent=2, ensure_ascii=False))
        return
    rows = [
        (
            str(each.id),
            each.name,
            " ".join(each.protocols),
            moment(each.created_us),
            moment(each.last_used_us) if each.last_used_us else "never",
            each.last_used_from or "-",
        )
        for each in found
    ]
    table([("ID", "NAME", "PROTOCOLS", "CREATED", "LAST USED", "FROM"), *rows])


@app_password.command("revoke")
@config_option
@click.argument("address")
@click.argument("name")
def revoke(address: str, name: str) -> None:
    """Revoke the app password NAME of ADDRESS and end the sessions of ADDRESS; its other clients log in again."""
    actor = console()

    async def work(rows: Rows) -> None:
        owner = await account_id(rows, address)
        found = await operations.find_app_password(rows.database, owner, name)
        await operations.revoke_app_password(rows.transactions, actor, found.id)

    with_rows(work, address)
