"""Listing sessions of all processes, and ending them, wherever they are.

What is listed was reported some seconds ago. The wish to end a session is a row that every process reads within seconds
(`jobs.sessions`).

What takes an account's right to be logged in puts `store.sessions.end_account_statement` into its own transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lightmail.errors import NoSuchAccount, NoSuchSession
from lightmail.model import AccountId
from lightmail.operations.actors import Actor
from lightmail.operations.outcome import Changed
from lightmail.operations.transactions import Transactions
from lightmail.store import sessions
from lightmail.store.cursor import Cursor
from lightmail.store.database import Database
from lightmail.store.sessions import Chosen, Listed, Process, Report

# Every id is below it.
NEWEST: Final = (1 << 63) - 1


async def listed(
    database: Database,
    actor: Actor,
    *,
    account: AccountId | None = None,
    protocol: str = "",
    address: str = "",
    before: int = NEWEST,
    limit: int,
    offset: int = 0,
) -> tuple[Sequence[Listed], int]:
    """Sessions whose ids are below `before`, the newest first, and how many there are in all. Raises Unavailable."""
    own = account is not None and account == actor.account
    chosen = Chosen(None if own else actor.domain, account, protocol, address)

    def read(cursor: Cursor) -> tuple[Sequence[Listed], int]:
        return sessions.list_txn(cursor, chosen, before, limit, offset), sessions.count_txn(cursor, chosen)

    return await database.read("session list", read)


async def end_session(tx: Transactions, actor: Actor, session: int) -> None:
    """Have the session of that row ended by its process.

    Raises NoSuchSession (also for another domain's), Unavailable.
    """

    def work(cursor: Cursor) -> Changed[None]:
        found = sessions.find_txn(cursor, session)
        if found is None or not actor.may_see(found.account, found.domain):
            raise NoSuchSession
        cursor.script(
            [
                sessions.end_session_statement(found.process, found.session),
                actor.record("session.end", found.subject, {"session": found.session}, found.domain),
            ]
        )
        return Changed(None)

    await tx.commit("end-session", work, account=None)


async def end_account_sessions(tx: Transactions, actor: Actor, account: AccountId) -> None:
    """Have every session of the account ended. Raises NoSuchAccount (also for another domain's), Unavailable."""

    def work(cursor: Cursor) -> Changed[None]:
        owner = sessions.owner_txn(cursor, account)
        if owner is None:
            raise NoSuchAccount
        domain, address = owner
        actor.require_account(account, domain)
        cursor.script(
            [
                sessions.end_account_statement(account),
                actor.record("session.end", address, {"all": True}, domain),
            ]
        )
        return Changed(None)

    await tx.commit("end-sessions", work, account=None)


# --- for the processes that have them ---


async def report(database: Database, process: Process, opened: Sequence[Report], closed: Sequence[str]) -> bool:
    """Note the sessions of a process that are new or changed, and those that have ended; and that it lives.

    True when it was taken for dead meanwhile, so that what it reported earlier is gone. Raises Unavailable.
    """
    return await database.run("sessions", sessions.report_txn, process, opened, closed)


async def bury(database: Database) -> int:
    """Forget the processes that have been silent for too long, and their sessions; how many. Raises Unavailable."""
    return await database.run("sessions", sessions.bury_txn)


async def leave(database: Database, process: Process) -> None:
    """Forget a process that stops, and its sessions. Raises Unavailable; others do it a minute later."""
    await database.run("sessions", sessions.leave_txn, process.id)
