"""The ``lightmail`` command line: one module per family of verbs, read when one of its verbs is called."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Final

import click

from lightmail import __version__
from lightmail.cli.common import Refused, config_option, explained
from lightmail.errors import ConfigError, MailError, StartupError

# Each verb or family of verbs, and where it is: a module of this package, and the name in it.
FAMILIES: Final[dict[str, tuple[str, str]]] = {
    "account": ("accounts", "account"),
    "admin": ("admins", "admin"),
    "alias": ("aliases", "alias"),
    "app-password": ("app_passwords", "app_password"),
    "audit": ("audit", "audit"),
    "calendar": ("calendars", "calendar"),
    "config": ("configuration", "config"),
    "demo": ("demo", "demo"),
    "doctor": ("doctor", "doctor"),
    "domain": ("domains", "domain"),
    "export": ("exporting", "export"),
    "gc": ("gc", "gc"),
    "import": ("importing", "import_"),
    "job": ("jobs", "job"),
    "mailbox": ("mailboxes", "mailbox"),
    "message": ("messages", "message"),
    "migrate": ("database", "migrate"),
    "recover": ("recover", "recover"),
    "session": ("sessions", "session"),
    "status": ("status", "status_"),
    "token": ("tokens", "token"),
    "trace": ("trace", "trace"),
    "undelete": ("undelete", "undelete"),
    "verify": ("verify", "verify"),
    "webhook": ("webhooks", "webhook"),
}


class Families(click.Group):
    """The families by name. All of them together take half a second to import, which a script that calls a thousand
    verbs need not wait for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in their order in the help."""
        return sorted(FAMILIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The family of that name, imported."""
        if cmd_name not in FAMILIES:
            return None
        module, name = FAMILIES[cmd_name]
        found: click.Command = getattr(import_module(f"lightmail.cli.{module}"), name)
        return found


@click.group(cls=Families, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="lightmail")
@config_option
def cli() -> None:
    """Administer a LightMail store. The server itself is: twistd -n lightmail [--config FILE]"""


def main() -> None:
    """The entry point: whatever is wrong is one line on standard error, and exit status 1."""
    try:
        cli()
    except (ConfigError, StartupError, MailError, Refused) as error:
        click.echo(f"lightmail: {explained(error)}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)
