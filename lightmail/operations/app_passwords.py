"""App passwords: each lets one client of an account's owner in, and can be taken from it without the others."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from lightmail.auth.app_passwords import PROTOCOLS, digest, generate
from lightmail.auth.uses import LastUses
from lightmail.errors import AlreadyExists, Invalid, LimitReached, NoSuchAccount, NoSuchAppPassword
from lightmail.model import AccountId
from lightmail.operations.accounts import hold_own_account_txn
from lightmail.operations.actors import Actor
from lightmail.operations.labels import label
from lightmail.operations.outcome import Changed
from lightmail.operations.transactions import Transactions
from lightmail.store import accounts, app_passwords, sessions
from lightmail.store.app_passwords import AppPassword
from lightmail.store.cursor import Cursor
from lightmail.store.database import Database
from lightmail.store.faults import DuplicateKey

NAME_OCTETS: Final = 255
# Of one account.
MOST: Final = 100


@dataclass(frozen=True, slots=True)
class Issued:
    """A new app password, and the secret itself: the only time that it is seen."""

    app_password: AppPassword
    secret: str


async def add_app_password(
    tx: Transactions, actor: Actor, account: AccountId, name: str, protocols: Collection[str] = PROTOCOLS
) -> Issued:
    """Give an account a random app password, good for logging in by those of `PROTOCOLS`.

    Raises NoSuchAccount, AlreadyExists (one of that name), LimitReached, Invalid, Unavailable.
    """
    named = label(name, NAME_OCTETS, "name")
    if not named:
        raise Invalid("A name is needed, such as that of the client.")
    if not protocols or not set(protocols) <= set(PROTOCOLS):
        raise Invalid(f"An app password is for {' or '.join(PROTOCOLS)}, or both.")
    wanted = tuple(protocol for protocol in PROTOCOLS if protocol in protocols)
    secret = generate()
    hidden = digest(secret.encode())
    assert hidden is not None, "what is generated has the form of an app password"
    added = await tx.commit("add-app-password", _add_txn, actor, account, named, hidden, wanted, account=account)
    return Issued(added, secret)


async def revoke_app_password(tx: Transactions, actor: Actor, app_password: int) -> None:
    """Let an app password open nothing any more, and end the sessions of its account: those that have another right to
    be there come back by themselves. Raises NoSuchAppPassword, Unavailable.
    """
    await tx.commit("revoke-app-password", _revoke_txn, actor, app_password, account=None)


async def find_app_password(database: Database, account: AccountId, name: str) -> AppPassword:
    """The app password that an account has under a name. Raises NoSuchAppPassword, Invalid, Unavailable."""
    named = label(name, NAME_OCTETS, "name")
    found = await database.read("app-password", app_passwords.by_name_txn, account, named)
    if found is None:
        raise NoSuchAppPassword
    return found


async def note_uses(database: Database, uses: LastUses) -> None:
    """Write down when app passwords were last used. Raises Unavailable; what is lost with it is tried again."""
    taken = uses.take()
    if not taken:
        return
    try:
        rows = [(use.app_password, use.used_us, use.address) for use in taken]
        await database.run("app-password-uses", app_passwords.note_uses_txn, rows)
    except BaseException:
        uses.give_back(taken)
        raise


def _add_txn(
    cursor: Cursor, actor: Actor, account: AccountId, name: str, secret: bytes, protocols: tuple[str, ...]
) -> Changed[AppPassword]:
    held = hold_own_account_txn(cursor, actor, account)
    if len(app_passwords.list_txn(cursor, account)) >= MOST:
        raise LimitReached(f"An account has at most {MOST} app passwords.")
    try:
        app_passwords.insert_txn(cursor, account, name, secret, protocols)
    except DuplicateKey:
        raise AlreadyExists("The account has an app password of that name.") from None
    added = app_passwords.by_name_txn(cursor, account, name)
    if added is None:
        raise LookupError("the app password that was just inserted is not there")
    accounts.touch_txn(cursor, account)
    detail = {"app_password": added.id, "name": name, "protocols": list(protocols)}
    cursor.execute(*actor.record("app_password.add", held.address, detail, held.domain))
    return Changed(added)


def _revoke_txn(cursor: Cursor, actor: Actor, app_password: int) -> Changed[None]:
    found = app_passwords.by_id_txn(cursor, app_password)
    if found is None:
        raise NoSuchAppPassword
    try:
        held = hold_own_account_txn(cursor, actor, found.account)
    except NoSuchAccount:
        raise NoSuchAppPassword from None
    if not app_passwords.delete_txn(cursor, app_password):
        raise NoSuchAppPassword
    accounts.touch_txn(cursor, found.account)
    detail = {"app_password": app_password, "name": found.name}
    cursor.script(
        [
            actor.record("app_password.revoke", held.address, detail, held.domain),
            sessions.end_account_statement(found.account),
        ]
    )
    return Changed(None)
