"""``lightmail session``: who is connected, on any server of the store; and disconnecting them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import click

from lightmail.app import Rows
from lightmail.cli.common import Refused, account_id, config_option, console, domain_id, table, with_rows
from lightmail.cli.gc import moment
from lightmail.errors import NoSuchSession
from lightmail.operations import sessions as operations
from lightmail.peers import ip_of
from lightmail.store.sessions import Listed


@click.group()
def session() -> None:
    """List the sessions of clients, or end them."""


@session.command("list")
@config_option
@click.option("--account", "owner", metavar="ADDRESS", help="Only this account's.")
@click.option("--domain", help="Only those of this domain's accounts.")
@click.option("--protocol", type=click.Choice(["imap", "pop3", "lmtp"]), help="Only of this protocol.")
@click.option("--from", "address", metavar="IP", default="", help="Only from this address.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=1000, show_default=True, help="How many at most.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_(owner: str | None, domain: str | None, protocol: str | None, address: str, limit: int, as_json: bool) -> None:
    """Print the sessions of all servers that have a section [api], the newest first, as they were some seconds ago.

    Times are UTC. Connections that have not logged in are not listed.
    """
    actor = console()

    async def work(rows: Rows) -> tuple[Sequence[Listed], int]:
        account = None if owner is None else await account_id(rows, owner)
        within = None if domain is None else await domain_id(rows, domain)
        return await operations.listed(
            rows.database,
            replace(actor, domain=within),
            account=account,
            protocol=protocol or "",
            address=str(ip_of(address) or address),
            limit=limit,
        )

    found, total = with_rows(work, owner or domain or "")
    if as_json:
        click.echo(json.dumps([_document(each) for each in found], indent=2))
        return
    table(
        [
            ("ID", "ACCOUNT", "PROTOCOL", "FROM", "TLS", "SINCE", "SERVER", "CLIENT"),
            *(
                (
                    str(each.id),
                    each.account_address or "-",
                    each.protocol,
                    each.address or "-",
                    "yes" if each.secure else "no",
                    moment(each.opened_us),
                    f"{each.hostname}:{each.pid}",
                    each.client,
                )
                for each in found
            ),
        ]
    )
    if total > len(found):
        click.echo(f"{len(found)} of {total}; --limit shows more", err=True)


def _document(each: Listed) -> dict[str, object]:
    return {
        "id": each.id,
        "session": each.session,
        "account": each.account_address or None,
        "protocol": each.protocol,
        "address": each.address,
        "tls": each.secure,
        "client": each.client,
        "opened": moment(each.opened_us),
        "hostname": each.hostname,
        "pid": each.pid,
    }


@session.command("end")
@config_option
@click.argument("ids", nargs=-1, type=click.IntRange(1), metavar="[ID]...")
@click.option("--account", "owner", metavar="ADDRESS", help="All sessions of this account.")
def end(ids: tuple[int, ...], owner: str | None) -> None:
    """End the sessions with the IDs that `list` prints, or all of an account, on whichever server they are.

    Each client is told, and disconnected within some seconds, once its running command has been answered. Who knows the
    password can come back at once: `lightmail account disable` keeps him out, and ends his sessions, too.
    """
    if bool(ids) == (owner is not None):
        raise click.UsageError("give IDs, or --account")
    actor = console()

    async def work(rows: Rows) -> None:
        if owner is not None:
            await operations.end_account_sessions(rows.transactions, actor, await account_id(rows, owner))
        for id_ in ids:
            try:
                await operations.end_session(rows.transactions, actor, id_)
            except NoSuchSession as error:
                raise Refused(f"session {id_}: {error}") from None

    with_rows(work, owner or "")
