"""The ``lightmail`` command line: one module per family of verbs."""

from __future__ import annotations

import sys

import click

from lightmail import __version__
from lightmail.cli import (
    accounts,
    admins,
    aliases,
    app_passwords,
    audit,
    calendars,
    configuration,
    database,
    demo,
    doctor,
    domains,
    exporting,
    gc,
    importing,
    jobs,
    mailboxes,
    messages,
    recover,
    sessions,
    tokens,
    trace,
    undelete,
    verify,
    webhooks,
)
from lightmail.cli.common import Refused, config_option, explained
from lightmail.errors import ConfigError, MailError, StartupError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="lightmail")
@config_option
def cli() -> None:
    """Administer a LightMail store. The server itself is: twistd -n lightmail [--config FILE]"""


for family in (
    domains.domain,
    accounts.account,
    aliases.alias,
    app_passwords.app_password,
    admins.admin,
    mailboxes.mailbox,
    messages.message,
    configuration.config,
    database.migrate,
    gc.gc,
    undelete.undelete,
    recover.recover,
    verify.verify,
    sessions.session,
    tokens.token,
    audit.audit,
    jobs.job,
    calendars.calendar,
    webhooks.webhook,
    doctor.doctor,
    trace.trace,
    importing.import_,
    exporting.export,
    demo.demo,
):
    cli.add_command(family)


def main() -> None:
    """The entry point: whatever is wrong is one line on standard error, and exit status 1."""
    try:
        cli()
    except (ConfigError, StartupError, MailError, Refused) as error:
        click.echo(f"lightmail: {explained(error)}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)
