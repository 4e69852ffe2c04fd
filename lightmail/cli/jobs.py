"""``lightmail job``: long work that a server process does, asked for, watched and cancelled from here."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeVar

import click
from twisted.internet.task import deferLater

from lightmail.app import Rows
from lightmail.cli.common import account_id, config_option, configuration, console, domain_id, table, with_rows
from lightmail.cli.gc import moment
from lightmail.cli.undelete import choosing, chosen
from lightmail.operations import jobs as operations
from lightmail.operations import undelete_choice
from lightmail.operations.actors import Actor
from lightmail.operations.jobpaths import below, existing
from lightmail.store.jobs import DONE, QUEUED, STATES, Job
from lightmail.store.undelete import Filters

F = TypeVar("F", bound=Callable[..., Any])

_LOOK_SECONDS: Final = 1.0
_FAILED: Final = 1


@click.group("job")
def job() -> None:
    """Start, watch or cancel long work that a server does.

    A server with a section [api] takes it up, wherever it runs; on the command line alone there are `lightmail verify`,
    `gc run`, `import` and `export`.
    """


# --- asking for it ---


@job.group("start")
def start() -> None:
    """Have a server do something; prints the job's id."""


def _wait_option(command: F) -> F:
    return click.option("--wait", is_flag=True, help="Wait until it has ended; exit status 1 unless it is done.")(
        command
    )


def _moving(verb: str) -> Callable[[F], F]:
    """The arguments and options of imports and exports."""

    def add(command: F) -> F:
        options = [
            config_option,
            _wait_option,
            click.option("--mailbox", "only", multiple=True, metavar="PATTERN", help=f"{verb} only these."),
            click.option("--exclude", "without", multiple=True, metavar="PATTERN", help="Not these."),
        ]
        if verb == "Import":
            options += [
                click.option("--into", metavar="MAILBOX", help="Put the source's mailboxes below this one."),
                click.option("--dry-run", is_flag=True, default=None, help="Only say what would be brought."),
                click.option("--again", is_flag=True, default=None, help="Bring all of it once more."),
            ]
        for option in reversed(options):
            command = option(command)
        return command

    return add


@start.command("garbage")
@config_option
@_wait_option
def garbage(wait: bool) -> None:
    """Collect garbage until none is due."""
    _start(operations.GARBAGE, wait)


@start.command("verify")
@config_option
@_wait_option
@click.option("--account", metavar="ADDRESS", help="Only the mail of one account.")
@click.option("--deep", is_flag=True, default=None, help="Read every object, too.")
@click.option("--repair", is_flag=True, default=None, help="Put right what can be.")
@click.option("--rate", type=click.IntRange(0, 1_000_000), help="Rows or objects a second at most; 0: no limit.")
def verify(wait: bool, account: str | None, **given: Any) -> None:
    """Verify that rows and objects agree."""
    _start(operations.VERIFY, wait, account, **given)


@start.command("undelete")
@config_option
@_wait_option
@click.argument("address")
@choosing
@click.option("--all", "everything", is_flag=True, help="All that can be restored.")
@click.option("--into", metavar="MAILBOX", help="Restore into that mailbox, which is made where it is missing.")
def undelete(address: str, wait: bool, everything: bool, into: str | None, **given: Any) -> None:
    """Restore messages of the account ADDRESS that were deleted, and that the options choose, or all.

    They go back as `lightmail undelete restore` says. What is deleted after this was asked for is left alone.
    """
    filters = chosen(**given)
    if filters == Filters() and not everything:
        raise click.UsageError("say what to restore: options that choose, or --all")
    _start(operations.UNDELETE, wait, address, **undelete_choice.arguments(filters, into))


@start.command("import-maildir")
@click.argument("address")
@click.argument("path")
@click.option("--dates", type=click.Choice(["file", "name"]), help="Take times of arrival from files, or their names.")
@_moving("Import")
def import_maildir(address: str, path: str, wait: bool, **given: Any) -> None:
    """Bring the Maildir at PATH, which is below [api] job_directory, into the account ADDRESS."""
    _start(operations.IMPORT_MAILDIR, wait, address, existing, path=path, **given)


@start.command("import-mbox")
@click.argument("address")
@click.argument("path")
@click.option("--quoting", type=click.Choice(["rd", "o", "none"]), help="How lines that begin with From were quoted.")
@click.option("--zone", help="The time zone of dates that name none.")
@_moving("Import")
def import_mbox(address: str, path: str, wait: bool, **given: Any) -> None:
    """Bring the mbox at PATH, or all below it, into ADDRESS; PATH is below [api] job_directory."""
    _start(operations.IMPORT_MBOX, wait, address, existing, path=path, **given)


@start.command("import-imap")
@click.argument("address")
@click.argument("host")
@click.option(
    "--password-file", required=True, help="A file below [api] job_directory; its first line is the password there."
)
@click.option("--user", help="Who to log in as there; ADDRESS if not given.")
@click.option("--port", type=click.IntRange(1, 65535), help="993, or 143 without implicit TLS.")
@click.option("--tls", type=click.Choice(["implicit", "starttls", "off"]), help="How TLS begins; implicit.")
@click.option("--insecure", is_flag=True, default=None, help="Trust any certificate.")
@click.option("--keep-names", is_flag=True, default=None, help="Do not put \\Sent … into the mailbox of that use.")
@_moving("Import")
def import_imap(address: str, host: str, password_file: str, wait: bool, **given: Any) -> None:
    """Bring an account of the IMAP server HOST into the account ADDRESS. It is only read there."""
    _located(existing, password_file)
    _start(operations.IMPORT_IMAP, wait, address, host=host, password_file=password_file, **given)


@start.command("export-maildir")
@click.argument("address")
@click.argument("path")
@_moving("Export")
def export_maildir(address: str, path: str, wait: bool, **given: Any) -> None:
    """Write the account ADDRESS as a Maildir++ to PATH, which is below [api] job_directory."""
    _start(operations.EXPORT_MAILDIR, wait, address, below, path=path, **given)


@start.command("export-mbox")
@click.argument("address")
@click.argument("path")
@_moving("Export")
def export_mbox(address: str, path: str, wait: bool, **given: Any) -> None:
    """Write the account ADDRESS as a tree of mbox files to PATH, which is below [api] job_directory."""
    _start(operations.EXPORT_MBOX, wait, address, below, path=path, **given)


def _located(find: Callable[[str, str], str], path: str) -> None:
    settings = configuration().api
    find("" if settings is None else settings.job_directory, path)


def _start(
    kind: str,
    wait: bool,
    address: str | None = None,
    find: Callable[[str, str], str] | None = None,
    **given: Any,
) -> None:
    if find is not None:
        _located(find, given["path"])
    arguments = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in given.items()
        if value not in (None, ())
    }
    actor = console()

    async def work(rows: Rows) -> Job:
        owner = None if address is None else await account_id(rows, address)
        made = await operations.start(rows.transactions, actor, kind, arguments, account=owner)
        click.echo(made.id)
        return await _ended(rows, actor, made.id) if wait else made

    made = with_rows(work, address or "")
    if wait:
        _say_end(made)


# --- watching it ---


async def _ended(rows: Rows, actor: Actor, id_: int) -> Job:
    """The job once it has ended; a bar shows how far it is, on a terminal."""
    bar = click.progressbar(length=100, file=sys.stderr, item_show_func=lambda stage: stage or "")
    shown = sys.stderr.isatty()
    if shown:
        bar.render_progress()
    while True:
        found = await operations.show(rows.database, actor, id_)
        if shown:
            bar.update(max(int(found.progress.get("percent", 0)) - bar.pos, 0), found.progress.get("stage"))
        if found.ended:
            if shown:
                bar.render_finish()
            return found
        await deferLater(rows.database.reactor, _LOOK_SECONDS)


def _say_end(found: Job) -> None:
    error = found.result.get("error")
    click.echo(f"job {found.id}: {found.state}" + (f": {error}" if error else ""), err=True)
    sys.exit(0 if found.state == DONE else _FAILED)


@job.command("list")
@config_option
@click.option("--state", type=click.Choice(STATES), help="Only those.")
@click.option("--kind", type=click.Choice(operations.KINDS), help="Only those.")
@click.option("--domain", help="Only those for this domain's accounts.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many at most.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_(state: str | None, kind: str | None, domain: str | None, limit: int, as_json: bool) -> None:
    """Print jobs, the newest first. Times are UTC."""
    actor = console()

    async def work(rows: Rows) -> list[Job]:
        within = None if domain is None else await domain_id(rows, domain)
        found, _ = await operations.listed(
            rows.database,
            replace(actor, domain=within),
            state=state or "",
            kind=kind or "",
            before=None,
            limit=limit,
        )
        return list(found)

    found = with_rows(work, domain or "")
    if as_json:
        click.echo(json.dumps([document(each) for each in found], indent=2))
        return
    rows = [
        (
            str(each.id),
            each.kind,
            each.state,
            _progress(each),
            _account(each),
            each.requested_by,
            moment(each.created_us),
        )
        for each in found
    ]
    table([("ID", "KIND", "STATE", "PROGRESS", "ACCOUNT", "ASKED FOR BY", "AT"), *rows])


@job.command("show")
@config_option
@click.argument("id_", metavar="ID", type=click.IntRange(1))
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@_wait_option
def show(id_: int, as_json: bool, wait: bool) -> None:
    """Print how far a job is, and what came of it."""
    actor = console()

    async def work(rows: Rows) -> Job:
        return await _ended(rows, actor, id_) if wait else await operations.show(rows.database, actor, id_)

    found = with_rows(work, f"job {id_}")
    if as_json:
        click.echo(json.dumps(document(found), indent=2))
    else:
        for line in _lines(found):
            click.echo(line)
    if wait:
        _say_end(found)


@job.command("cancel")
@config_option
@click.argument("id_", metavar="ID", type=click.IntRange(1))
def cancel(id_: int) -> None:
    """Cancel a job: at once where it is queued, else some seconds later. What it did stays done."""
    actor = console()

    async def work(rows: Rows) -> Job:
        return await operations.cancel(rows.transactions, actor, id_)

    found = with_rows(work, f"job {id_}")
    click.echo(f"job {id_}: {found.state}" if found.ended else f"job {id_} ends within some seconds")


def document(found: Job) -> dict[str, Any]:
    """A job as JSON."""
    return {
        "id": found.id,
        "kind": found.kind,
        "state": found.state,
        "requested_by": found.requested_by,
        "origin": found.origin,
        "arguments": dict(found.arguments),
        "progress": dict(found.progress),
        "result": dict(found.result),
        "created_at": moment(found.created_us),
        "started_at": moment(found.started_us) if found.started_us else None,
        "finished_at": moment(found.finished_us) if found.finished_us else None,
    }


def _lines(found: Job) -> list[str]:
    lines = [
        f"job {found.id}: {found.kind}, {found.state}",
        f"asked for by {found.requested_by} ({found.origin}) at {moment(found.created_us)}",
        *(f"{name}: {_shown(value)}" for name, value in sorted(found.arguments.items())),
    ]
    if found.state == QUEUED:
        lines.append("no server has taken it up yet; one with a section [api] does")
    if found.started_us:
        lines.append(f"begun at {moment(found.started_us)}, {_progress(found)}")
    if found.finished_us:
        lines.append(f"ended at {moment(found.finished_us)}")
    return lines + [f"{name}: {_shown(value)}" for name, value in found.result.items()]


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return "".join(character if character.isprintable() else "?" for character in text)


def _account(found: Job) -> str:
    return str(found.arguments.get("address", "-"))


def _progress(found: Job) -> str:
    percent = found.progress.get("percent")
    return "-" if percent is None else f"{percent} %"
