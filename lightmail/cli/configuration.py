"""``lightmail config``: check the configuration, show what is in effect."""

from __future__ import annotations

import click

from lightmail.cli.common import config_option, configuration
from lightmail.config import check_host, shown
from lightmail.jobs.quota_notice import read_notice


@click.group()
def config() -> None:
    """Check the configuration, or show it."""


@config.command("check")
@config_option
def check_() -> None:
    """Say whether the configuration can be used on this host. Connects to nothing."""
    loaded = configuration()
    check_host(loaded)
    read_notice(loaded.quota.warning_template)
    click.echo(f"{loaded.source or 'the embedded default'}: OK")


@config.command("show")
@config_option
def show_() -> None:
    """Print every key with the value in effect, whatever it came from; secrets are hidden."""
    loaded = configuration()
    click.echo(f"# from {loaded.source or 'the embedded default'} and the environment")
    for section, pairs in shown(loaded):
        click.echo(f"\n[{section}]")
        for key, value in pairs:
            click.echo(f"{key} = {value}".rstrip())
