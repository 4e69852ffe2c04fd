"""An import from first to last: what there is, what of it is here already, then batch after batch.

While one batch is being stored the next is read and the one before committed. A batch is committed together with the
keys of its messages (`operations.imports`), so whatever ends a run, the next goes on behind the last batch, and brings
nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from time import monotonic

from lightmail.errors import MailboxExists, MailError, NoSuchMailbox
from lightmail.jobs import folders
from lightmail.jobs.importing.carrying import Carrier, Full, Hands
from lightmail.jobs.importing.ledger import Ledger, ledger_name
from lightmail.jobs.importing.report import FolderReport, Report
from lightmail.jobs.importing.source import Folder, Item, Left, Source
from lightmail.model import Account, Mailbox, MailboxId
from lightmail.operations import imports, mailboxes
from lightmail.operations.transactions import Transactions
from lightmail.store import imports as stored_imports
from lightmail.store import mailboxes as stored


@dataclass(frozen=True, slots=True)
class Options:
    """What is to be brought where.

    `into` is the mailbox that the source's lie below, or, `whole`, the one that takes its only folder. `only` and
    `without` are patterns of names as the source has them, levels parted by slashes. `by_use`: a folder with a special
    use goes to the account's mailbox of that use. `anew` forgets what earlier runs brought.
    """

    into: str = ""
    whole: bool = False
    only: Collection[str] = ()
    without: Collection[str] = ()
    by_use: bool = True
    anew: bool = False
    dry: bool = False
    most_octets: int = 50 << 20


@dataclass(frozen=True, slots=True)
class _Task:
    """A folder, the mailbox it goes to, and what of it is still to come."""

    folder: Folder
    target: str
    ledger: Ledger
    items: list[Item]
    report: FolderReport


async def run(
    hands: Hands, account: Account, source: Source, options: Options, told: Callable[[str, int, int], None]
) -> Report:
    """Bring what the source has into the account. `told` hears of the folder, messages done, and all there are.

    Raises SourceError, InUse (another import of the same source), NoSuchMailbox, Unavailable: the next run goes on.
    """
    began = monotonic()
    report = Report()
    await imports.forget_old(hands.transactions.database)
    tasks = await _plan(hands, account, source, options, report)
    if not options.dry:
        done, total = 0, sum(len(task.items) for task in tasks)
        try:
            for task in tasks:
                mailbox = await _mailbox(hands.transactions, account, task, options)
                carrier = Carrier(hands, account, mailbox, source, task.folder, task.ledger, report, task.report)
                async for count in carrier.carry(task.items):
                    done += count
                    told(task.target, done, total)
        except Full:
            report.notes.append("the account is over its quota: raise it and run the same command again")
    report.seconds = monotonic() - began
    return report


# --- what there is to do ---


async def _plan(hands: Hands, account: Account, source: Source, options: Options, report: Report) -> list[_Task]:
    found, left = await hands.reading.run(source.folders)
    for each in left:
        report.leave(each)
    existing = await hands.transactions.database.read("import", stored.list_txn, account.id)
    mapping = options.by_use and not options.into
    uses = {mailbox.special_use: mailbox.name for mailbox in existing if mailbox.special_use and mapping}
    named: list[tuple[Folder, str]] = []
    for folder in found:
        try:
            named.append((folder, _target(folder, uses, options)))
        except MailError as error:
            if _is_chosen(folder, options):
                report.leave(Left(folder.place, str(error)))
    # Of all folders, so that the name of one does not hang on which others are brought this time.
    names = folders.without_conflicts((name for _, name in named), uses.values())
    tasks = []
    for (folder, _), target in zip(named, names, strict=True):
        chosen = _is_chosen(folder, options)
        task = await _task(hands, account, source, options, report, folder, target) if chosen else None
        if task is not None:
            tasks.append(task)
    return tasks


def _is_chosen(folder: Folder, options: Options) -> bool:
    name = "/".join(folder.levels)
    if options.only and not any(fnmatchcase(name, pattern) for pattern in options.only):
        return False
    return not any(fnmatchcase(name, pattern) for pattern in options.without)


def _target(folder: Folder, uses: Mapping[str, str], options: Options) -> str:
    if options.whole and options.into:
        return folders.target_name((), options.into)
    if folder.special_use is not None and folder.special_use in uses:
        return uses[folder.special_use]
    return folders.target_name(folder.levels, options.into)


async def _task(
    hands: Hands, account: Account, source: Source, options: Options, report: Report, folder: Folder, target: str
) -> _Task | None:
    """What of a folder is to be brought; None where it cannot be told which of it is here already."""
    database = hands.transactions.database
    items, left = await hands.reading.run(source.items, folder)
    name = ledger_name(account, source.identity, folder, target)
    if options.anew and not options.dry:
        await imports.forget(database, name)
    pages = [] if options.anew else await database.read("import", stored_imports.pages_txn, name)
    ledger = Ledger(name, f"{source.identity} {folder.place}", pages)
    said = FolderReport(folder.place or source.identity.partition(":")[2], target)
    report.folders.append(said)
    for each in left:
        report.leave(each, said)
    if ledger.knows_none_of([item.key for item in items], source.generation_octets):
        reason = "it was numbered anew (UIDVALIDITY) since it was brought; --again brings all of it once more"
        report.leave(Left(said.place, reason), said)
        return None
    wanted = []
    for item in items:
        refusal = _refusal(item, options.most_octets)
        if item.key in ledger.keys:
            said.known += 1
        elif refusal is not None:
            report.leave(Left(item.place, refusal), said)
        else:
            wanted.append(item)
    said.pending = len(wanted)
    return _Task(folder, target, ledger, wanted, said)


def _refusal(item: Item, most_octets: int) -> str | None:
    if not item.octets:
        return "it is empty"
    if item.octets > most_octets:
        return f"it has {item.octets} octets, and [limits] append_octets allows {most_octets}"
    return None


async def _mailbox(tx: Transactions, account: Account, task: _Task, options: Options) -> MailboxId:
    """The mailbox of that name, made where it is not there; subscribed to as it was at the source."""
    found = await _found(tx, account, task.target)
    if found is None:
        use = task.folder.special_use if options.by_use and not options.into else None
        with suppress(MailboxExists):
            await mailboxes.create(tx, account, task.target, use if use in mailboxes.SPECIAL_USES else None)
        found = await _found(tx, account, task.target)
        if found is None:
            raise NoSuchMailbox
    if task.folder.subscribed is not False:
        await mailboxes.subscribe(tx, account, task.target)
    return found.id


async def _found(tx: Transactions, account: Account, name: str) -> Mailbox | None:
    return await tx.database.read("import", stored.by_name_txn, account.id, name)
