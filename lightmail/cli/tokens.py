"""``lightmail token``: who may use the HTTP API besides the token of the configuration."""

from __future__ import annotations

import json
import time
from typing import Any, Final

import click

from lightmail.app import Rows
from lightmail.cli.common import config_option, console, domain_id, table, with_rows
from lightmail.cli.gc import moment
from lightmail.errors import NoSuchToken
from lightmail.operations import tokens as operations
from lightmail.store import tokens as stored
from lightmail.store.tokens import Token
from lightmail.web.api.scopes import Scope

_WORDS: Final = [scope.value for scope in Scope]
_DAY_US: Final = 86_400_000_000
# As many are read at once.
_BATCH: Final = 500


@click.group()
def token() -> None:
    """Add, list or revoke tokens of the HTTP API."""


@token.command("add")
@config_option
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    metavar="SCOPE",
    type=click.Choice(_WORDS),
    multiple=True,
    help=f"What it may do; may be given several times: {', '.join(_WORDS)}.",
)
@click.option("--all", "everything", is_flag=True, help="It may do everything.")
@click.option("--domain", help="It administers this domain only.")
@click.option("--days", type=click.IntRange(1, 36_500), help="How long it is good; without this, until it is revoked.")
def add(name: str, scopes: tuple[str, ...], everything: bool, domain: str | None, days: int | None) -> None:
    """Make the token NAME, such as "backup" or "helpdesk", and print it: it is shown this once."""
    if everything == bool(scopes):
        raise click.UsageError("give --scope, once or several times, or --all")
    actor = console()
    expires_us = time.time_ns() // 1000 + days * _DAY_US if days else 0

    async def work(rows: Rows) -> str:
        bound = None if domain is None else await domain_id(rows, domain)
        made = await operations.add_token(
            rows.transactions, actor, name, scopes or _WORDS, domain=bound, expires_us=expires_us
        )
        return made[1]

    click.echo(with_rows(work, name))


@token.command("list")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_(as_json: bool) -> None:
    """Print the tokens that are not revoked, and when they were last used. Times are UTC."""

    async def work(rows: Rows) -> list[Token]:
        found: list[Token] = []
        while True:
            after = found[-1].id if found else 0
            batch = await rows.database.read("cli", stored.page_txn, after, 0, _BATCH, None)
            found += batch
            if len(batch) < _BATCH:
                return found

    found = with_rows(work)
    if as_json:
        click.echo(json.dumps([_document(each) for each in found], indent=2, ensure_ascii=False))
        return
    rows = [
        (
            str(each.id),
            each.name,
            each.domain_name or "-",
            moment(each.expires_us) if each.expires_us else "never",
            moment(each.last_used_us) if each.last_used_us else "never",
            "all" if len(each.scopes) == len(_WORDS) else " ".join(each.scopes),
        )
        for each in found
    ]
    table([("ID", "NAME", "DOMAIN", "EXPIRES", "LAST USED", "SCOPES"), *rows])


def _document(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "name": token.name,
        "domain": token.domain_name,
        "scopes": token.scopes,
        "created_at": moment(token.created_us),
        "expires_at": moment(token.expires_us) if token.expires_us else None,
        "last_used_at": moment(token.last_used_us) if token.last_used_us else None,
    }


@token.command("revoke")
@config_option
@click.argument("name")
def revoke(name: str) -> None:
    """Revoke the token NAME: its next request is refused."""
    actor = console()

    async def work(rows: Rows) -> None:
        found = await rows.database.read("cli", stored.by_name_txn, name)
        if found is None:
            raise NoSuchToken
        await operations.revoke_token(rows.transactions, actor, found.id)

    with_rows(work, name)
