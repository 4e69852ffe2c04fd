"""``lightmail message``: the messages of an account, and what can be done to each by its id."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

import click

from lightmail.app import Rows
from lightmail.app.intake import Intake
from lightmail.cli.common import (
    Refused,
    account_id,
    config_option,
    console,
    size_text,
    table,
    with_intake,
    with_rows,
)
from lightmail.cli.gc import moment
from lightmail.cli.mailboxes import named
from lightmail.cli.undelete import Moment, clean
from lightmail.errors import MailError
from lightmail.model import MailboxId, MessageId
from lightmail.operations import admin_messages as operations
from lightmail.operations.actors import Actor
from lightmail.operations.admin_messages import Placed, Shown
from lightmail.store.browsing import Listed, Place, Wanted
from lightmail.web.pages import reading

_PAGE: Final = 500
_TAB_COLUMNS: Final = 8
_ID: Final = click.IntRange(1, (1 << 63) - 1)
_IDS: Final = click.argument("ids", nargs=-1, required=True, type=_ID, metavar="ID...")

_Act = Callable[[Rows, Actor, MessageId], Awaitable[Placed | None]]


@click.group()
def message() -> None:
    """List, read, delete, copy, move and restore messages. Who reads or changes one is noted in the audit log."""


@message.command("list")
@config_option
@click.argument("address")
@click.option("--mailbox", metavar="MAILBOX", help="Only those in the mailbox of that name.")
@click.option("--sender", metavar="TEXT", default="", help="Part of the From field, in any case.")
@click.option("--subject", metavar="TEXT", default="", help="Part of the Subject field, in any case.")
@click.option("--since", type=Moment(), help="Arrived then or later: 2026-03-01, 2026-03-01T14:05, or an age: 3d.")
@click.option("--until", type=Moment(), help="Arrived before that.")
@click.option("--deleted", is_flag=True, help="Those that can be restored, instead of those that are there.")
@click.option("--withheld", is_flag=True, help="Those that were withheld for a virus, instead of those that are there.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True, help="How many at most.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_(address: str, mailbox: str | None, limit: int, as_json: bool, **filters: Any) -> None:
    """Print messages of ADDRESS, the newest first; with --deleted or --withheld, the last that went. Times are UTC."""
    if filters["deleted"] and filters["withheld"]:
        raise click.UsageError("Give --deleted or --withheld, not both.")
    actor = console()
    wanted = _wanted(**filters)

    async def work(rows: Rows) -> list[Listed]:
        account = await account_id(rows, address)
        box = None if mailbox is None else (await named(rows, account, mailbox)).id
        found: list[Listed] = []
        place: Place | None = None
        while True:
            most = min(_PAGE, limit - len(found))
            if box is None:
                page = await operations.of_account(rows.transactions, actor, account, wanted, place, most)
            else:
                page = (await operations.of_mailbox(rows.transactions, actor, box, wanted, place, most)).found
            found += page.messages
            place = page.next
            if place is None or len(found) >= limit:
                return found

    _print(with_rows(work, address), as_json)


def _wanted(sender: str, subject: str, since: int | None, until: int | None, deleted: bool, withheld: bool) -> Wanted:
    every = Wanted()
    return Wanted(
        sender=sender,
        subject=subject,
        since_us=every.since_us if since is None else since,
        until_us=every.until_us if until is None else until,
        deleted=deleted,
        withheld=withheld,
    )


def _print(found: list[Listed], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([_document(each) for each in found], indent=2))
        return
    table([("ID", "DATE", "OCTETS", "MAILBOX", "FLAGS", "FROM", "SUBJECT"), *(_row(each) for each in found)])


def _document(found: Listed) -> dict[str, Any]:
    return {
        "id": found.id,
        "uid": found.uid,
        "mailbox_id": found.mailbox,
        "mailbox": found.mailbox_name,
        "subject": found.subject,
        "sender": found.sender,
        "size": found.octets,
        "date": moment(found.internaldate_us),
        "flags": list(found.flags),
        "deleted_at": moment(found.deleted_us) if found.deleted_us else None,
        "withheld": found.withheld,
    }


def _row(found: Listed) -> tuple[str, ...]:
    flags = " ".join(flag.removeprefix("\\") for flag in found.flags)
    return (
        str(found.id),
        moment(found.internaldate_us),
        size_text(found.octets),
        clean(found.mailbox_name),
        clean(flags) or "-",
        clean(found.sender),
        clean(found.subject),
    )


@message.command("show")
@config_option
@click.argument("id_", metavar="ID", type=_ID)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def show(id_: int, as_json: bool) -> None:
    """Print what is known of the message ID, without its content."""
    actor = console()

    async def work(rows: Rows) -> Shown:
        return await operations.shown(rows.transactions, actor, MessageId(id_))

    shown = with_rows(work, f"message {id_}")
    box, found = shown.whole.box, shown.whole.message
    about = {
        **_document(found),
        "account_id": box.owner.account,
        "address": box.owner.address,
        "to": shown.details.to,
        "cc": shown.details.cc,
        "message_id": shown.details.message_id,
        "saved_at": moment(shown.whole.saved_us),
        "trace": shown.whole.trace,
    }
    if as_json:
        click.echo(json.dumps(about, indent=2))
        return
    for name, value in about.items():
        text = " ".join(value) if isinstance(value, list) else "" if value is None else str(value)
        click.echo(f"{name + ':':12} {clean(text, 1000) or '-'}")


@message.command("raw")
@config_option
@click.argument("id_", metavar="ID", type=_ID)
def raw(id_: int) -> None:
    """Write the message ID to standard output, octet by octet. The audit log says who did."""

    async def work(intake: Intake, actor: Actor) -> None:
        opened = await operations.open_content(intake.transactions, actor, MessageId(id_), "raw")
        async for piece in intake.blobs.chunks(opened.ref):
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()

    _read(id_, work)


@message.command("text")
@config_option
@click.argument("id_", metavar="ID", type=_ID)
def text(id_: int) -> None:
    """Print what the message ID says: its text, or the words of its HTML. The audit log says who looked."""

    async def work(intake: Intake, actor: Actor) -> None:
        opened = await operations.open_content(intake.transactions, actor, MessageId(id_), "text")
        found = await reading.parts(intake, opened.ref, opened.parts)
        said = await reading.shown(intake, opened.ref, found)
        for each in said.text.split("\n"):
            click.echo(clean(each.expandtabs(), len(said.text) * _TAB_COLUMNS))
        if said.truncated:
            click.echo(f"there is more of it: lightmail message raw {id_}", err=True)

    _read(id_, work)


@message.command("parts")
@config_option
@click.argument("id_", metavar="ID", type=_ID)
def parts(id_: int) -> None:
    """Print the parts of the message ID, attachments among them. The audit log says who looked."""

    async def work(intake: Intake, actor: Actor) -> None:
        opened = await operations.open_content(intake.transactions, actor, MessageId(id_), "parts")
        found = await reading.parts(intake, opened.ref, opened.parts)
        listed = [each for each in (found.plain, found.html, *found.others) if each is not None]
        rows = [(each.number, each.media_type, size_text(each.octets), clean(each.name, 200)) for each in listed]
        table([("PART", "TYPE", "OCTETS", "NAME"), *rows])

    _read(id_, work)


@message.command("part")
@config_option
@click.argument("id_", metavar="ID", type=_ID)
@click.argument("number", metavar="PART")
def part(id_: int, number: str) -> None:
    """Write one part of the message ID to standard output, decoded; `parts` lists them. The audit log says who did."""

    async def work(intake: Intake, actor: Actor) -> None:
        opened = await operations.open_content(intake.transactions, actor, MessageId(id_), f"part {number[:100]}")
        found = await reading.part(intake, opened.ref, opened.parts, number)
        async for piece in reading.decoded(intake, opened.ref, found):
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()

    _read(id_, work)


def _read(id_: int, work: Callable[[Intake, Actor], Awaitable[None]]) -> None:
    """Read the content of a message. Raises Refused."""
    actor = console()

    async def guarded(intake: Intake) -> None:
        try:
            await work(intake, actor)
        except MailError as error:
            raise Refused(f"message {id_}: {error}") from error

    with_intake(guarded, writing=False)


@message.command("delete")
@config_option
@_IDS
def delete(ids: tuple[int, ...]) -> None:
    """Delete the messages with these IDs; `message restore` brings them back."""

    async def act(rows: Rows, actor: Actor, id_: MessageId) -> None:
        await operations.delete(rows.transactions, actor, id_)

    _each(ids, act, "deleted")


@message.command("copy")
@config_option
@_IDS
@click.option("--into", metavar="MAILBOX", required=True, help="A mailbox of the same account.")
def copy(ids: tuple[int, ...], into: str) -> None:
    """Copy the messages with these IDs into another mailbox."""

    async def act(rows: Rows, actor: Actor, id_: MessageId) -> Placed:
        return await operations.copy(rows.transactions, actor, id_, await _mailbox(rows, actor, id_, into))

    _each(ids, act, "copied")


@message.command("move")
@config_option
@_IDS
@click.option("--into", metavar="MAILBOX", required=True, help="A mailbox of the same account.")
def move(ids: tuple[int, ...], into: str) -> None:
    """Move the messages with these IDs into another mailbox."""

    async def act(rows: Rows, actor: Actor, id_: MessageId) -> Placed:
        return await operations.move(rows.transactions, actor, id_, await _mailbox(rows, actor, id_, into))

    _each(ids, act, "moved")


@message.command("restore")
@config_option
@_IDS
@click.option("--into", metavar="MAILBOX", help="Another mailbox of the account than the one it was in.")
def restore(ids: tuple[int, ...], into: str | None) -> None:
    """Restore the deleted or withheld messages with these IDs; `lightmail undelete` does so for many deleted ones."""

    async def act(rows: Rows, actor: Actor, id_: MessageId) -> Placed:
        box = None if into is None else await _mailbox(rows, actor, id_, into)
        return await operations.restore(rows.transactions, actor, id_, box)

    _each(ids, act, "restored")


async def _mailbox(rows: Rows, actor: Actor, id_: MessageId, name: str) -> MailboxId:
    """The mailbox of that name in the account of a message."""
    shown = await operations.shown(rows.transactions, actor, id_)
    return (await named(rows, shown.whole.box.owner.account, name)).id


def _each(ids: tuple[int, ...], act: _Act, done: str) -> None:
    """Do something to each message, one after the other, and say so; the first refusal ends it."""
    actor = console()

    async def work(rows: Rows) -> None:
        for id_ in ids:
            try:
                placed = await act(rows, actor, MessageId(id_))
            except MailError as error:
                raise Refused(f"message {id_}: {error}") from error
            click.echo(f"{done} {id_}" if placed is None else f"{done} {id_} as {placed.id}")

    with_rows(work)
