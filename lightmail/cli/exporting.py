"""``lightmail export``: write an account's mail into files that other programs read.

Exit status: 0 when all is written, 1 when some was left, 2 when the run did not come to its end; the same command goes
on from there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from lightmail.app.intake import Intake
from lightmail.cli.common import Refused, config_option, explained, size_text, table, with_intake
from lightmail.cli.moving import account_of, message_bar, unfinished
from lightmail.errors import ConfigError, MailError, StartupError
from lightmail.jobs.exporting import ExportError, Options, Report, Sink, run
from lightmail.jobs.exporting.maildir import MaildirSink
from lightmail.jobs.exporting.mbox import MboxSink
from lightmail.threads import BoundedPool

F = TypeVar("F", bound=Callable[..., Any])

_ALL, _SOME_LEFT = 0, 1
_SHOWN: Final = 20


def _common(command: F) -> F:
    """The arguments and options of both formats."""
    for option in reversed(
        (
            click.argument("address"),
            click.argument("path", type=click.Path(file_okay=False)),
            config_option,
            click.option("--mailbox", "only", multiple=True, metavar="PATTERN", help="Only these, such as Work/*."),
            click.option("--exclude", multiple=True, metavar="PATTERN", help="Not these."),
            click.option("--json", "as_json", is_flag=True, help="Print a JSON document of what was done."),
        )
    ):
        command = option(command)
    return command


@click.group()
def export() -> None:
    """Write an account's mail into files. The server may run meanwhile; nothing of the account is changed.

    A second run writes what is not there yet.
    """


@export.command("maildir")
@_common
@click.option("--force", is_flag=True, help="Write into a directory that holds other things, too; nothing is replaced.")
def maildir(address: str, path: str, force: bool, **options: Any) -> None:
    """Write the account ADDRESS as a Maildir++ into the directory PATH."""
    _run(address, MaildirSink(path), force=force, **options)


@export.command("mbox")
@_common
@click.option("--force", is_flag=True, help="Replace files of mailboxes that are there already.")
def mbox(address: str, path: str, force: bool, **options: Any) -> None:
    """Write the account ADDRESS as a tree of mbox files into the directory PATH."""
    _run(address, MboxSink(path, force=force), force=force, **options)


def _run(
    address: str, sink: Sink, *, force: bool, only: tuple[str, ...], exclude: tuple[str, ...], as_json: bool
) -> None:
    """Run it, say what came of it, and exit."""
    try:
        with message_bar() as told:

            async def work(intake: Intake) -> Report:
                account = await account_of(intake, address)
                writing = BoundedPool("files", 1, 4, reactor=intake.database.reactor)
                writing.start()
                try:
                    options = Options(only, exclude, force)
                    return await run(intake.database, intake.blobs, writing, account, sink, options, told)
                finally:
                    await writing.stop()

            report = with_intake(work, writing=False)
    except (ConfigError, StartupError, MailError, Refused, ExportError) as error:
        unfinished("export", explained(error))
    except click.Abort:
        unfinished("export", "interrupted")
    if as_json:
        click.echo(json.dumps(report.document()))
    else:
        _tell(report)
    sys.exit(_SOME_LEFT if report.left_count else _ALL)


def _tell(report: Report) -> None:
    rows = [("MAILBOX", "THERE BEFORE", "WRITTEN", "LEFT")]
    rows += [(each.mailbox, str(each.known), str(each.written), str(each.left)) for each in report.mailboxes]
    table(rows)
    for note in report.notes:
        click.echo(f"note: {note}")
    for place, reason in report.left[:_SHOWN]:
        click.echo(f"left: {place}: {reason}")
    if report.left_count > _SHOWN:
        click.echo(f"left: … {report.left_count - _SHOWN} more (--json names them)")
    written, seconds = report.sum("written"), report.seconds
    rate = f", {written / seconds:.0f} messages/s" if written and seconds else ""
    click.echo(f"wrote {written} messages, {size_text(report.octets)}, in {seconds:.1f} s{rate}")
