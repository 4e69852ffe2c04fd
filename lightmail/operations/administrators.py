"""Administrators of the web: who may sign in, to which domains, with which password and authenticator app.

Only who administers the server changes others; everybody changes his own password and app.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Sequence
from typing import Final, TypeAlias

from lightmail.errors import AlreadyExists, Invalid, NoSuchAdministrator, NoSuchDomain
from lightmail.operations.actors import Actor
from lightmail.operations.outcome import Changed
from lightmail.operations.transactions import Transactions
from lightmail.store import administrators, domains, web_sessions
from lightmail.store.administrators import Administrator
from lightmail.store.cursor import Cursor
from lightmail.store.faults import DuplicateKey

Change: TypeAlias = Callable[[Cursor], None]

# No @: who signs in with an address is an account's owner.
_NAME: Final = re.compile(r"[^\s@\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,64}")


def administrator_name(name: str) -> str:
    """A name as it is stored: in lower case and NFC. Raises Invalid."""
    known = unicodedata.normalize("NFC", name.strip().casefold())
    if _NAME.fullmatch(known) is None:
        raise Invalid("An administrator's name has 1 to 64 characters, without spaces and without @.")
    return known


async def add_administrator(
    tx: Transactions, actor: Actor, name: str, password_hash: str, domains_of: Collection[int] | None = None
) -> Administrator:
    """Add an administrator of the domains of these ids, or, without, of the server.

    Raises AlreadyExists, NoSuchDomain, NotPermitted, Invalid, Unavailable.
    """
    known = administrator_name(name)
    ids = None if domains_of is None else sorted(set(domains_of))
    return await tx.commit("add-administrator", _add_txn, actor, known, password_hash, ids, account=None)


async def set_role(
    tx: Transactions, actor: Actor, administrator: int, domains_of: Collection[int] | None
) -> Administrator:
    """Let an administrator have the domains of these ids, or the server. Raises as `add_administrator`, and
    NoSuchAdministrator."""
    ids = None if domains_of is None else sorted(set(domains_of))
    return await tx.commit("set-administrator-role", _role_txn, actor, administrator, ids, account=None)


async def set_password(
    tx: Transactions, actor: Actor, administrator: int, password_hash: str, keep_session: bytes = b""
) -> None:
    """Give an administrator another password, and end his sessions but the one of the hash `keep_session`.

    Raises NoSuchAdministrator, NotPermitted, Unavailable.
    """

    def change(cursor: Cursor) -> None:
        administrators.set_password_txn(cursor, administrator, password_hash)
        web_sessions.delete_of_txn(cursor, administrator, 0, keep_session)

    await tx.commit("set-administrator-password", _change_txn, actor, administrator, "password", change, account=None)


async def set_active(tx: Transactions, actor: Actor, administrator: int, active: bool) -> None:
    """Let an administrator sign in, or not, and end his sessions. Raises NoSuchAdministrator, NotPermitted."""

    def change(cursor: Cursor) -> None:
        actor.require_server()
        administrators.set_active_txn(cursor, administrator, active)
        web_sessions.delete_of_txn(cursor, administrator, 0)

    verb = "enable" if active else "disable"
    await tx.commit("set-administrator-active", _change_txn, actor, administrator, verb, change, account=None)


async def set_totp(tx: Transactions, actor: Actor, administrator: int, secret: bytes, step: int = 0) -> None:
    """Ask an administrator for codes of an authenticator app that has `secret`, of time steps beyond `step`; with an
    empty secret no more. Raises NoSuchAdministrator, NotPermitted, Unavailable."""

    def change(cursor: Cursor) -> None:
        administrators.set_totp_txn(cursor, administrator, secret, step)

    verb = "totp.add" if secret else "totp.remove"
    await tx.commit("set-administrator-totp", _change_txn, actor, administrator, verb, change, account=None)


async def sign_out(tx: Transactions, actor: Actor, administrator: int) -> None:
    """End an administrator's sessions, on whichever browser. Raises NoSuchAdministrator, NotPermitted, Unavailable."""

    def change(cursor: Cursor) -> None:
        web_sessions.delete_of_txn(cursor, administrator, 0)

    await tx.commit("sign-out-administrator", _change_txn, actor, administrator, "sign_out", change, account=None)


async def delete_administrator(tx: Transactions, actor: Actor, administrator: int) -> None:
    """Delete an administrator, and end his sessions. Raises NoSuchAdministrator, NotPermitted, Unavailable."""

    def change(cursor: Cursor) -> None:
        actor.require_server()
        administrators.delete_txn(cursor, administrator)
        web_sessions.delete_of_txn(cursor, administrator, 0)

    await tx.commit("delete-administrator", _change_txn, actor, administrator, "delete", change, account=None)


def _add_txn(
    cursor: Cursor, actor: Actor, name: str, password_hash: str, ids: Sequence[int] | None
) -> Changed[Administrator]:
    actor.require_server()
    _require_domains(cursor, ids)
    try:
        administrators.insert_txn(cursor, name, password_hash, ids is None)
    except DuplicateKey:
        raise AlreadyExists("There is an administrator of that name already.") from None
    made = administrators.by_name_txn(cursor, name)
    if made is None:
        raise LookupError("the administrator who was just inserted is not there")
    administrators.set_domains_txn(cursor, made.administrator.id, ids or ())
    cursor.execute(*actor.record("administrator.add", name, {"domains": ids}))
    return Changed(_known(cursor, made.administrator.id))


def _role_txn(cursor: Cursor, actor: Actor, administrator: int, ids: Sequence[int] | None) -> Changed[Administrator]:
    actor.require_server()
    if not administrators.lock_txn(cursor, administrator):
        raise NoSuchAdministrator
    _require_domains(cursor, ids)
    administrators.set_role_txn(cursor, administrator, ids is None)
    administrators.set_domains_txn(cursor, administrator, ids or ())
    known = _known(cursor, administrator)
    cursor.execute(*actor.record("administrator.change", known.name, {"domains": ids}))
    return Changed(known)


def _change_txn(cursor: Cursor, actor: Actor, administrator: int, verb: str, change: Change) -> Changed[None]:
    """Change an administrator: who administers the server anybody, others themselves."""
    if not administrators.lock_txn(cursor, administrator):
        raise NoSuchAdministrator
    known = _known(cursor, administrator)
    if actor.domain is not None and actor.administrator != administrator:
        raise NoSuchAdministrator
    change(cursor)
    cursor.execute(*actor.record(f"administrator.{verb}", known.name, {"id": administrator}))
    return Changed(None)


def _known(cursor: Cursor, administrator: int) -> Administrator:
    found = administrators.by_id_txn(cursor, administrator)
    if found is None:
        raise NoSuchAdministrator
    return found.administrator


def _require_domains(cursor: Cursor, ids: Sequence[int] | None) -> None:
    """Raise Invalid for an empty list of domains, NoSuchDomain for one that is not there."""
    if ids is not None and not ids:
        raise Invalid("Name a domain at least, or make it an administrator of the server.")
    for domain in ids or ():
        if domains.lock_txn(cursor, domain) is None:
            raise NoSuchDomain
