"""``lightmail migrate``: bring the database to this release's schema."""

from __future__ import annotations

import click

from lightmail.app import Rows
from lightmail.cli.common import config_option, with_rows


@click.command("migrate")
@config_option
def migrate() -> None:
    """Create the tables, or bring them to this release's schema. Running it again does nothing."""

    async def work(rows: Rows) -> list[str]:
        return await rows.database.migrate()

    applied = with_rows(work, migrating=True)
    for name in applied:
        click.echo(f"applied {name}")
    if not applied:
        click.echo("the schema is up to date")
