"""Jobs that move mail: imports of a Maildir, of files of mbox, of an account elsewhere; exports into files.

Files are those below [api] job_directory, whoever asks.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from lightmail.errors import Cannot, Invalid, NoSuchAccount, Unavailable
from lightmail.jobs import exporting, importing
from lightmail.jobs.exporting.maildir import MaildirSink
from lightmail.jobs.exporting.mbox import MboxSink
from lightmail.jobs.importing.imapserver import PORTS, ImapSource, Login
from lightmail.jobs.importing.maildir import MaildirSource
from lightmail.jobs.importing.mbox import MboxSource
from lightmail.jobs.requested.work import NAMED, Hands, Work
from lightmail.model import Account, AccountId
from lightmail.operations.jobpaths import below, existing
from lightmail.store import accounts
from lightmail.threads import BoundedPool

_PASSWORD_OCTETS: Final = 4096


async def import_maildir(hands: Hands, work: Work) -> dict[str, Any]:
    """Bring a Maildir into an account."""
    path = await _path(hands, work, existing)
    return await _import(hands, work, MaildirSource(path, dates=str(work.arguments.get("dates", "file"))))


async def import_mbox(hands: Hands, work: Work) -> dict[str, Any]:
    """Bring an mbox, or all below a directory, into an account."""
    path = await _path(hands, work, existing)
    quoting = str(work.arguments.get("quoting", "rd"))
    zone = await hands.pool.run(_zone, str(work.arguments.get("zone", "UTC")))
    source = MboxSource(path, quoting=quoting, zone=zone, most_octets=hands.config.limits.append_octets)
    return await _import(hands, work, source, whole=source.is_file)


async def import_imap(hands: Hands, work: Work) -> dict[str, Any]:
    """Bring an account of another server into an account."""
    given = work.arguments
    tls = given.get("tls", "implicit")
    login = Login(
        str(given["host"]),
        int(given.get("port", PORTS[tls])),
        str(given.get("user", given["address"])),
        await _password(hands, work),
        tls,
        verify=not given.get("insecure"),
    )
    return await _import(hands, work, ImapSource(login), by_use=not given.get("keep_names"))


async def export_maildir(hands: Hands, work: Work) -> dict[str, Any]:
    """Write an account's mail as a Maildir++."""
    return await _export(hands, work, MaildirSink(await _path(hands, work, below)))


async def export_mbox(hands: Hands, work: Work) -> dict[str, Any]:
    """Write an account's mail as a tree of mbox files."""
    return await _export(hands, work, MboxSink(await _path(hands, work, below)))


async def _path(hands: Hands, work: Work, find: Callable[[str, str], str]) -> str:
    return await hands.pool.run(find, _directory(hands), str(work.arguments["path"]))


def _directory(hands: Hands) -> str:
    return hands.config.api.job_directory if hands.config.api is not None else ""


async def _password(hands: Hands, work: Work) -> str:
    """The password there: told to this process, or in a file of the job directory."""
    if work.secret is not None:
        return work.secret
    if "password_file" not in work.arguments:
        raise Cannot("The password was told to a process that is gone; start the job again.")
    path = await hands.pool.run(existing, _directory(hands), str(work.arguments["password_file"]))
    return await hands.pool.run(_first_line, path)


def _first_line(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            line = file.readline(_PASSWORD_OCTETS).rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        raise Invalid("The password_file cannot be read as a file of text.") from None
    if not line:
        raise Invalid("The first line of password_file is empty.")
    return line


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Invalid("There is no such time zone; one is called Europe/Berlin.") from None


async def _account(hands: Hands, work: Work) -> Account:
    id_ = AccountId(work.arguments["account_id"])
    found = await hands.transactions.database.read("jobs", accounts.by_id_txn, id_)
    if found is None:
        raise NoSuchAccount
    return found


async def _import(
    hands: Hands, work: Work, source: importing.Source, *, whole: bool = False, by_use: bool = True
) -> dict[str, Any]:
    account = await _account(hands, work)
    given = work.arguments
    options = importing.Options(
        str(given.get("into", "")).strip("/"),
        whole,
        tuple(given.get("only", ())),
        tuple(given.get("without", ())),
        by_use,
        bool(given.get("again")),
        bool(given.get("dry_run")),
        hands.config.limits.append_octets,
    )
    reading = BoundedPool("source", 1, 4, reactor=hands.transactions.database.reactor)
    reading.start()
    carrying = importing.Hands(hands.transactions, hands.blobs, hands.spools, reading)
    try:
        report = await importing.run(carrying, account, source, options, work.told.count)
    finally:
        # Not taken in where the source's thread waits for an answer for too long; it closes a broken source itself.
        with suppress(Unavailable):
            await reading.run(source.close)
        await reading.stop()
    return _bounded(report.document(), "folders", "left")


async def _export(hands: Hands, work: Work, sink: exporting.Sink) -> dict[str, Any]:
    account = await _account(hands, work)
    given = work.arguments
    options = exporting.Options(tuple(given.get("only", ())), tuple(given.get("without", ())))
    database = hands.transactions.database
    writing = BoundedPool("files", 1, 4, reactor=database.reactor)
    writing.start()
    try:
        report = await exporting.run(database, hands.blobs, writing, account, sink, options, work.told.count)
    finally:
        await writing.stop()
    return _bounded(report.document(), "mailboxes", "left")


def _bounded(document: dict[str, Any], *lists: str) -> dict[str, Any]:
    """A report with so much of its lists as a row of `jobs` is to hold; their sums are in it beside them."""
    return {**document, **{name: list(document[name])[:NAMED] for name in lists}}
