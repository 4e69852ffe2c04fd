"""``lightmail import``: bring messages in from a Maildir, from files of mbox, from another server.

Exit status: 0 when all is here, 1 when some was left, 2 when the run did not come to its end; the same command goes on
from there.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, tzinfo
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from lightmail.app.intake import Intake
from lightmail.cli.common import Refused, config_option, configuration, explained, size_text, table, with_intake
from lightmail.cli.moving import account_of, message_bar, unfinished
from lightmail.errors import ConfigError, MailError, StartupError
from lightmail.jobs.importing import Hands, Options, Report, Source, SourceError, run
from lightmail.jobs.importing.imapserver import PORTS, ImapSource, Login
from lightmail.jobs.importing.maildir import MaildirSource
from lightmail.jobs.importing.mbox import MboxSource
from lightmail.jobs.importing.mboxfile import QUOTINGS
from lightmail.jobs.importing.report import NAMED
from lightmail.threads import BoundedPool

F = TypeVar("F", bound=Callable[..., Any])

_ALL, _SOME_LEFT = 0, 1
_PASSWORD: Final = "IMPORT_PASSWORD"
_SHOWN: Final = 20


def _common(command: F) -> F:
    """The options that every kind of source has."""
    for option in reversed(
        (
            config_option,
            click.option("--into", default="", metavar="MAILBOX", help="Put the source's mailboxes below this one."),
            click.option(
                "--mailbox", "only", multiple=True, metavar="PATTERN", help="Only these, as the source calls them."
            ),
            click.option("--exclude", multiple=True, metavar="PATTERN", help="Not these; Trash* leaves all like it."),
            click.option("--dry-run", "dry", is_flag=True, help="Only say what would be brought."),
            click.option("--again", is_flag=True, help="Bring all of it once more, though it was brought before."),
            click.option("--json", "as_json", is_flag=True, help="Print a JSON document of what was done."),
        )
    ):
        command = option(command)
    return command


@click.group("import")
def import_() -> None:
    """Bring messages in from elsewhere. The server may run meanwhile, and clients be connected.

    A second run brings what is new, and nothing twice.
    """


@import_.command("maildir")
@click.argument("address")
@click.argument("path", type=click.Path(exists=True, file_okay=False))
@click.option(
    "--dates", type=click.Choice(["file", "name"]), default="file", show_default=True,
    help="Take the time of arrival from the files' times, or from their names.",
)  # fmt: skip
@_common
def maildir(address: str, path: str, dates: str, **options: Any) -> None:
    """Bring the Maildir at PATH, with its folders, into the account ADDRESS."""
    _run(address, lambda _: MaildirSource(path, dates=dates), **options)


@import_.command("mbox")
@click.argument("address")
@click.argument("path", type=click.Path(exists=True))
@click.option(
    "--quoting", type=click.Choice(QUOTINGS), default="rd", show_default=True,
    help="How lines that begin with From were quoted: mboxrd, mboxo, or not at all.",
)  # fmt: skip
@click.option("--zone", default="UTC", show_default=True, help="The time zone of dates that name none.")
@_common
def mbox(address: str, path: str, quoting: str, zone: str, **options: Any) -> None:
    """Bring the mbox PATH, or all below the directory PATH, into the account ADDRESS.

    One file goes into the mailbox that --into names, or one called as the file is.
    """
    of_zone = _zone(zone)

    def source(most_octets: int) -> Source:
        return MboxSource(path, quoting=quoting, zone=of_zone, most_octets=most_octets)

    _run(address, source, whole=not os.path.isdir(path), **options)


@import_.command("imap")
@click.argument("address")
@click.argument("host")
@click.option("--user", help="Who to log in as there; ADDRESS if not given.")
@click.option("--port", type=click.IntRange(1, 65535), help="993, or 143 without implicit TLS.")
@click.option(
    "--tls", type=click.Choice(list(PORTS)), default="implicit", show_default=True,
    help="TLS from the first octet, by the command STARTTLS, or none.",
)  # fmt: skip
@click.option("--ca-file", type=click.Path(exists=True, dir_okay=False), help="Trust these certificates only.")
@click.option("--insecure", is_flag=True, help="Trust any certificate: whoever is on the way learns the password.")
@click.option(
    "--password-file", type=click.File("r"), help=f"Its first line is the password; else ${_PASSWORD}, else ask."
)
@click.option("--keep-names", is_flag=True, help="Do not put \\Sent, \\Trash … into the account's mailbox of that use.")
@_common
def imap(
    address: str,
    host: str,
    user: str | None,
    port: int | None,
    tls: Any,
    ca_file: str | None,
    insecure: bool,
    password_file: Any,
    keep_names: bool,
    **options: Any,
) -> None:
    """Bring an account of the IMAP server HOST into the account ADDRESS. It is only read there."""
    login = Login(
        host,
        port or PORTS[tls],
        user or address,
        _password(password_file),
        tls,
        ca_file=ca_file,
        verify=not insecure,
    )
    _run(address, lambda _: ImapSource(login), by_use=not keep_names, **options)


def _password(file: Any) -> str:
    password: str
    if file is not None:
        password = file.readline().rstrip("\r\n")
    elif _PASSWORD in os.environ:
        password = os.environ[_PASSWORD]
    elif sys.stdin.isatty():
        password = click.prompt("Password there", hide_input=True, err=True)
    else:
        raise click.UsageError(f"there is no terminal to ask for the password; use --password-file or ${_PASSWORD}")
    if not password:
        raise click.UsageError("the password is empty")
    return password


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise click.UsageError(f"there is no time zone {name}; such as Europe/Berlin") from None


def _run(
    address: str,
    open_source: Callable[[int], Source],
    *,
    into: str,
    only: tuple[str, ...],
    exclude: tuple[str, ...],
    dry: bool,
    again: bool,
    as_json: bool,
    whole: bool = False,
    by_use: bool = True,
) -> None:
    """Run it, say what came of it, and exit. `open_source` is told how many octets a message may have."""
    try:
        most_octets = configuration().limits.append_octets
        source = open_source(most_octets)
        options = Options(into.strip("/"), whole, only, exclude, by_use, again, dry, most_octets)
        with message_bar() as told:

            async def work(intake: Intake) -> Report:
                account = await account_of(intake, address)
                reading = BoundedPool("source", 1, 4, reactor=intake.database.reactor)
                reading.start()
                hands = Hands(intake.transactions, intake.blobs, intake.spools, reading)
                try:
                    return await run(hands, account, source, options, told)
                finally:
                    await reading.run(source.close)
                    await reading.stop()

            report = with_intake(work, writing=not dry)
    except (ConfigError, StartupError, MailError, Refused, SourceError) as error:
        unfinished("import", explained(error))
    except click.Abort:
        unfinished("import", "interrupted")
    if as_json:
        click.echo(json.dumps(report.document()))
    else:
        _tell(report, dry)
    sys.exit(_SOME_LEFT if report.left_count or (report.sum("pending") and not dry) else _ALL)


def _tell(report: Report, dry: bool) -> None:
    rows = [("FROM", "MAILBOX", "HERE BEFORE", "TO COME" if dry else "BROUGHT", "LEFT")]
    for each in report.folders:
        brought = each.pending if dry else each.brought
        rows.append((each.place, each.mailbox, str(each.known), str(brought), str(each.left)))
    table(rows)
    for note in report.notes:
        click.echo(f"note: {note}")
    for left in report.left[:_SHOWN]:
        click.echo(f"left: {left.place}: {left.reason}")
    if report.left_count > _SHOWN:
        click.echo(f"left: … {report.left_count - _SHOWN} more (--json names up to {NAMED:,})")
    if dry:
        click.echo(f"to come: {report.sum('pending')} messages; nothing was stored")
        return
    brought, seconds = report.sum("brought"), report.seconds
    rate = f", {brought / seconds:.0f} messages/s" if brought and seconds else ""
    click.echo(f"brought {brought} messages, {size_text(report.octets)}, in {seconds:.1f} s{rate}")
