"""Long work that administrators ask for: rows that any server process takes up (`lightmail.jobs.requested`).

What is asked for is a kind and its arguments, which stand in the row for all administrators to see. A secret does not:
it stays with the process that was told it, at its `Desk`, and only that process can run the job.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from lightmail.errors import Cannot, LimitReached, NoSuchAccount, NoSuchJob
from lightmail.model import AccountId
from lightmail.operations.actors import SERVER, Actor
from lightmail.operations.outcome import Changed
from lightmail.operations.transactions import Transactions
from lightmail.store import accounts, jobs
from lightmail.store.cursor import Cursor
from lightmail.store.database import Database
from lightmail.store.jobs import Beat, Filters, Job

GARBAGE: Final = "garbage"
VERIFY: Final = "verify"
IMPORT_MAILDIR: Final = "import-maildir"
IMPORT_MBOX: Final = "import-mbox"
IMPORT_IMAP: Final = "import-imap"
EXPORT_MAILDIR: Final = "export-maildir"
EXPORT_MBOX: Final = "export-mbox"
UNDELETE: Final = "undelete"
KINDS: Final = (GARBAGE, VERIFY, UNDELETE, IMPORT_MAILDIR, IMPORT_MBOX, IMPORT_IMAP, EXPORT_MAILDIR, EXPORT_MBOX)

# What administrators of a domain may ask for, of its accounts. All others read or write the server's files, or connect
# from it to where they are told.
OF_A_DOMAIN: Final = frozenset({VERIFY, UNDELETE})
# What the owner of an account may ask for, too, of his own.
_OF_AN_ACCOUNT: Final = frozenset({UNDELETE})
QUEUED_BOUND: Final = 100
# Owners may fill so many of these places: an administrator finds one.
OWNERS_BOUND: Final = 50
# How long a job that restored messages is shown where one looks for them.
_SHOWN_US: Final = 86_400_000_000
_SHOWN: Final = 50
# A process that has said nothing for so long is taken to be gone.
SILENT_SECONDS: Final = 60.0
_INTERRUPTED: Final = {"error": "the process that ran it is gone; start it again to go on"}


class Desk:
    """What a process that runs jobs keeps beside the rows: who it is, and the secrets of jobs that it alone can run.

    `hasten` has it look at the rows now.
    """

    def __init__(self, process: bytes) -> None:
        self.process = process
        self.hasten: Callable[[], None] = _nothing
        self._secrets: dict[bytes, tuple[str, float]] = {}

    def hold(self, secret: str) -> bytes:
        """Keep a secret until it is taken; the reference of the job that it is for. Raises LimitReached."""
        if len(self._secrets) >= QUEUED_BOUND:
            raise LimitReached("Too many jobs are queued.")
        reference = os.urandom(16)
        self._secrets[reference] = (secret, time.monotonic())
        return reference

    def take(self, reference: bytes) -> str | None:
        """The secret of the job of that reference, which is kept no longer; None where there is none."""
        secret, _ = self._secrets.pop(reference, (None, 0.0))
        return secret

    def drop_all_but(self, references: Collection[bytes]) -> None:
        """Keep no secret any more of jobs that are not among those which wait, if they had time to be."""
        before = time.monotonic() - SILENT_SECONDS
        self._secrets = {
            reference: held for reference, held in self._secrets.items() if reference in references or held[1] > before
        }


def _nothing() -> None:
    pass


async def start(
    tx: Transactions,
    actor: Actor,
    kind: str,
    arguments: Mapping[str, Any],
    *,
    account: AccountId | None = None,
    secret: tuple[Desk, str] | None = None,
) -> Job:
    """Queue a job of that kind, for an account's mail where one is given; the row.

    `arguments` are what JSON can hold, and no secret: that stays at the desk of the process which is to run the job.
    Raises NoSuchAccount, NotPermitted (it takes an administrator of the server), Cannot (messages of the account are
    being restored already), LimitReached, Unavailable.
    """
    desk, reference = None, os.urandom(16)
    if secret is not None:
        desk = secret[0]
        reference = desk.hold(secret[1])
    process = None if desk is None else desk.process
    try:
        return await tx.commit(
            "start-job", _start_txn, actor, kind, arguments, account, reference, process, account=None
        )
    except BaseException:
        if desk is not None:
            desk.take(reference)
        raise


def _start_txn(
    cursor: Cursor,
    actor: Actor,
    kind: str,
    arguments: Mapping[str, Any],
    account: AccountId | None,
    reference: bytes,
    process: bytes | None,
) -> Changed[Job]:
    domain, subject = SERVER, "server"
    given = dict(arguments)
    if account is not None:
        held = accounts.hold_txn(cursor, account)
        if held is None:
            raise NoSuchAccount
        if kind in _OF_AN_ACCOUNT:
            actor.require_account(account, held.domain)
        else:
            actor.require(held.domain)
        domain, subject = held.domain, held.address
        given.update(account_id=account, address=held.address)
    if account is None or kind not in OF_A_DOMAIN:
        actor.require_server()
    _require_place_txn(cursor, actor, kind, account)
    insert = jobs.insert_statement(reference, kind, domain, actor.name, actor.origin, given, process)
    cursor.execute(*insert)
    id_ = jobs.by_reference_txn(cursor, reference)
    if id_ is None:
        raise LookupError("the job that was just inserted is not there")
    cursor.execute(*actor.record("job.start", subject, {"job": id_, "kind": kind}, domain))
    return Changed(_present(jobs.by_id_txn(cursor, id_)))


def _require_place_txn(cursor: Cursor, actor: Actor, kind: str, account: AccountId | None) -> None:
    """Raise where there is no place for another job. The account's row is locked, so that no two find the same one."""
    bound = QUEUED_BOUND if actor.account is None else OWNERS_BOUND
    if jobs.queued_txn(cursor) >= bound:
        raise LimitReached("Too many jobs are queued.")
    if kind != UNDELETE:
        return
    for job in jobs.open_txn(cursor, 2 * QUEUED_BOUND):
        if job.kind == UNDELETE and job.arguments.get("account_id") == account:
            raise Cannot(f"Messages of this account are being restored already, by job no. {job.id}.")


async def cancel(tx: Transactions, actor: Actor, job: int) -> Job:
    """Ask for a job's end; the row. A queued one is cancelled at once, a running one some seconds later.

    Raises NoSuchJob, Cannot (it has ended), Unavailable.
    """
    return await tx.commit("cancel-job", _cancel_txn, actor, job, account=None)


def _cancel_txn(cursor: Cursor, actor: Actor, job: int) -> Changed[Job]:
    found = jobs.lock_txn(cursor, job)
    if found is None or not may_see(actor, found):
        raise NoSuchJob
    if found.ended:
        raise Cannot("The job has ended.")
    subject = str(found.arguments.get("address", "server"))
    record = actor.record("job.cancel", subject, {"job": job, "kind": found.kind}, found.domain)
    cursor.script([*jobs.cancel_statements(job), record])
    return Changed(_present(jobs.by_id_txn(cursor, job)))


def _present(job: Job | None) -> Job:
    if job is None:
        raise NoSuchJob
    return job


async def show(database: Database, actor: Actor, job: int) -> Job:
    """A job as it stands. Raises NoSuchJob, Unavailable."""
    found = await database.read("jobs", jobs.by_id_txn, job)
    if found is None or not may_see(actor, found):
        raise NoSuchJob
    return found


def may_see(actor: Actor, job: Job) -> bool:
    """Whether a job is his: one of the domain that he administers, or one that he asked for, for his own account."""
    if actor.administers(job.domain):
        return True
    own = actor.account is not None and job.arguments.get("account_id") == actor.account
    return own and job.kind in _OF_AN_ACCOUNT and job.requested_by == actor.name


async def restoring(database: Database, actor: Actor, account: AccountId, domain: int) -> Sequence[Job]:
    """The jobs that restore messages of an account, or did so within a day, the newest first, of those that are his.

    `domain` is the account's. Only the last ones of the domain are looked through. Raises Unavailable.
    """
    filters = Filters(kind=UNDELETE, domain=domain)
    found = await database.read("jobs", jobs.list_txn, filters, None, _SHOWN)
    since_us = time.time_ns() // 1000 - _SHOWN_US
    return [
        job
        for job in found
        if job.arguments.get("account_id") == account
        and may_see(actor, job)
        and (not job.ended or job.finished_us > since_us)
    ]


async def listed(
    database: Database,
    actor: Actor,
    *,
    state: str = "",
    kind: str = "",
    before: int | None,
    limit: int,
    offset: int = 0,
) -> tuple[Sequence[Job], int]:
    """Jobs, the newest first, below the id `before`, and how many there are in all. Raises Unavailable."""
    filters = Filters(state, kind, actor.domain)

    def read(cursor: Cursor) -> tuple[list[Job], int]:
        return jobs.list_txn(cursor, filters, before, limit, offset), jobs.count_txn(cursor, filters)

    return await database.read("jobs", read)


# --- for the processes that run them ---


async def waiting(database: Database) -> list[Job]:
    """The jobs that are queued or running, the oldest first. Raises Unavailable."""
    return await database.read("jobs", jobs.open_txn, 2 * QUEUED_BOUND)


async def claim(database: Database, job: int, process: bytes) -> bool:
    """Begin a queued job; False where another process was sooner, or nobody wants it. Raises Unavailable."""
    return await database.run("jobs", jobs.claim_txn, job, process)


async def beat(
    database: Database, process: bytes, running: Mapping[int, Mapping[str, Any]], held: Sequence[int]
) -> Beat:
    """Say that the process is alive, and how far its jobs are. Raises Unavailable."""
    return await database.run("jobs", jobs.beat_txn, process, running, held)


async def end(
    database: Database, job: int, process: bytes, state: str, progress: Mapping[str, Any], result: Mapping[str, Any]
) -> bool:
    """Write down how a job ended; False where it is not the process's any more. Raises Unavailable."""
    return await database.run("jobs", jobs.end_txn, job, process, state, progress, result)


async def interrupt_abandoned(database: Database) -> int:
    """Call the jobs of processes that are gone interrupted; how many. Raises Unavailable."""
    return await database.run("jobs", jobs.interrupt_abandoned_txn, int(SILENT_SECONDS * 1_000_000), _INTERRUPTED)
