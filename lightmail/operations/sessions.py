"""Ending sessions, wherever they are: the wish is a row that every process reads within seconds (`jobs.sessions`).

What takes an account's right to be logged in puts `store.sessions.end_account_statement` into its own transaction.
"""

from __future__ import annotations

from lightmail.errors import NoSuchAccount, NoSuchSession
from lightmail.model import AccountId
from lightmail.operations.actors import Actor
from lightmail.operations.outcome import Changed
from lightmail.operations.transactions import Transactions
from lightmail.store import sessions
from lightmail.store.cursor import Cursor


async def end_session(tx: Transactions, actor: Actor, session: int) -> None:
    """Have the session of that row ended by its process.

    Raises NoSuchSession (also for another domain's), Unavailable.
    """

    def work(cursor: Cursor) -> Changed[None]:
        found = sessions.find_txn(cursor, session)
        if found is None or (actor.domain is not None and actor.domain != found.domain):
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
        actor.require(domain)
        cursor.script(
            [
                sessions.end_account_statement(account),
                actor.record("session.end", address, {"all": True}, domain),
            ]
        )
        return Changed(None)

    await tx.commit("end-sessions", work, account=None)
