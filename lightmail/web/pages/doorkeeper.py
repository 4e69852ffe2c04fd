"""Signing in: an administrator by his name, an account's owner by his address, both slowed down after failures."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from lightmail.auth import totp
from lightmail.auth.login import Authenticator
from lightmail.config import Network
from lightmail.errors import AuthenticationFailed
from lightmail.model import Account, AccountId, Credentials
from lightmail.operations import web_sessions
from lightmail.operations.actors import Actor
from lightmail.operations.transactions import Transactions
from lightmail.store import administrators
from lightmail.store.administrators import Administrator
from lightmail.threads import BoundedPool

# Administrators have no uuid; what is remembered of their passwords must not be taken for an account's.
_UUID: Final = b"administrators.."
_REMEMBERED_SECONDS: Final = 0


class CodeWanted(AuthenticationFailed):
    """The password was right, and a code of the authenticator app is needed, or was wrong."""


class Doorkeeper:
    """Checks who wants to sign in, and begins sessions.

    :param owners: checks addresses and passwords, as for mail clients.
    :param hashing: where passwords are hashed.
    :param trusted_networks: the networks, as they are configured just now, whose clients are not slowed down.
    """

    def __init__(
        self,
        tx: Transactions,
        owners: Authenticator,
        hashing: BoundedPool,
        *,
        reactor: Any,
        trusted_networks: Callable[[], Sequence[Network]],
    ) -> None:
        self._tx = tx
        self._owners = owners
        self._trusted_networks = trusted_networks
        # Nothing is remembered: who signs in once a day may wait for a hash.
        self._administrators = Authenticator(self._find, hashing, reactor=reactor, verified_seconds=_REMEMBERED_SECONDS)

    async def sign_in(self, name: str, password: str, code: str, origin: str, browser: str) -> str:
        """Begin a session; the secret for the cookie.

        Raises CodeWanted (only to who knows the password), AuthenticationFailed, AccountDisabled, Unavailable.
        """
        given = (name.encode("utf-8", "replace"), password.encode("utf-8", "replace"))
        if "@" in name:
            account = await self._owners.login(*given, origin, "web")
            return await web_sessions.sign_in_owner(self._tx, Actor(account.address, origin), account, browser)
        second = _SecondFactor(self._tx, code)
        self._administrators.configure(_REMEMBERED_SECONDS, self._trusted_networks())
        try:
            await self._administrators.login(*given, origin, "web", confirm=second.confirm)
        except AuthenticationFailed:
            raise CodeWanted if second.failed else AuthenticationFailed from None
        if second.administrator is None:
            raise AuthenticationFailed
        actor = Actor(f"administrator {second.administrator.name}", origin)
        return await web_sessions.sign_in_administrator(self._tx, actor, second.administrator, browser, second.step)

    async def _find(self, name: str, app_password: bytes | None) -> Credentials | None:
        """An administrator as the Authenticator wants accounts."""
        found = await self._tx.database.read("administrator", administrators.by_name_txn, name)
        if found is None:
            return None
        who = found.administrator
        return Credentials(Account(AccountId(who.id), _UUID, who.name, who.active, 0, 0), found.password_hash)


class _SecondFactor:
    """Whether the code that came with a right password is one of the administrator's app, where he has one.

    `step` is the time step of the code, 0 where none is asked for.
    """

    def __init__(self, tx: Transactions, code: str) -> None:
        self.administrator: Administrator | None = None
        self.failed = False
        self.step = 0
        self._tx = tx
        self._code = code

    async def confirm(self, account: Account) -> bool:
        """See `Authenticator.login`."""
        found = await self._tx.database.read("administrator", administrators.by_id_txn, int(account.id))
        if found is None:
            return False
        self.administrator = found.administrator
        if not found.totp_secret:
            return True
        self.step = totp.matching_step(found.totp_secret, self._code, time.time(), found.totp_step) or 0
        self.failed = not self.step
        return not self.failed
