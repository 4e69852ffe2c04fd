"""``lightmail audit``: what administrators did, and who looked at whose mail."""

from __future__ import annotations

import json
from typing import Any

import click

from lightmail.app import Rows
from lightmail.cli.common import config_option, domain_id, table, with_rows
from lightmail.cli.gc import moment
from lightmail.cli.undelete import Moment
from lightmail.store import audit as stored
from lightmail.store.audit import Entry, Filters


@click.command()
@config_option
@click.option("--actor", metavar="NAME", help='What one of them did, such as "root" or "token helpdesk".')
@click.option("--action", metavar="ACTION", help="One action, account.add, or a family of them, account.")
@click.option("--subject", metavar="NAME", help="What was done to one address or name.")
@click.option("--origin", metavar="ADDRESS", help="What was asked from one IP address, or at the console.")
@click.option("--domain", help="What concerned one domain.")
@click.option("--since", type=Moment(), help="Done then or later: 2026-03-01, 2026-03-01T14:05, or an age: 3d.")
@click.option("--until", type=Moment(), help="Done before that.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="How many at most.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def audit(
    actor: str | None,
    action: str | None,
    subject: str | None,
    origin: str | None,
    domain: str | None,
    since: int | None,
    until: int | None,
    limit: int,
    as_json: bool,
) -> None:
    """Print what was done, by whom, when and from where, what was done last first. Times are UTC."""

    async def work(rows: Rows) -> list[Entry]:
        bound = None if domain is None else await domain_id(rows, domain)
        filters = Filters(actor, action, subject, origin, bound, since, until)
        return await rows.database.read("cli", stored.page_txn, filters, None, limit)

    found = with_rows(work, domain or "")
    if as_json:
        click.echo(json.dumps([_document(each) for each in found], indent=2, ensure_ascii=False))
        return
    rows = [
        (
            moment(each.happened_us),
            *map(_plain, (each.actor, each.origin, each.action, each.subject)),
            _shown(each.detail),
        )
        for each in found
    ]
    table([("TIME", "ACTOR", "FROM", "ACTION", "SUBJECT", "DETAIL"), *rows])


def _document(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "happened_at": moment(entry.happened_us),
        "actor": entry.actor,
        "origin": entry.origin,
        "action": entry.action,
        "subject": entry.subject,
        "detail": entry.detail,
        "domain": entry.domain_name,
    }


def _plain(text: str) -> str:
    """A text that does nothing to a terminal: subjects are what users called things."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _shown(detail: Any) -> str:
    return json.dumps(detail, ensure_ascii=True) if detail else "-"
