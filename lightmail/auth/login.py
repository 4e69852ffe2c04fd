"""Who may log in: one check for every protocol, whose answers and timing tell no more than right or wrong."""

from __future__ import annotations

import hashlib
import time
import unicodedata
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, TypeAlias

from twisted.internet.task import deferLater
from twisted.logger import Logger

from lightmail.auth import app_passwords, passwords
from lightmail.auth.lanes import Lanes
from lightmail.auth.slowdown import Slowdown
from lightmail.auth.uses import LastUses, Use
from lightmail.auth.verified import VerifiedCache
from lightmail.config import Network
from lightmail.errors import AccountDisabled, AuthenticationFailed, AuthorizationFailed, MailError
from lightmail.flights import Flight
from lightmail.metrics import LOGINS
from lightmail.model import Account, Credentials
from lightmail.threads import BoundedPool

# Reads the account that a login name means with what opens it, in one go; None when there is none. The name is folded
# and NFC, and may be no address at all; beside it the digest of what may be an app password, None where the password
# cannot be one. Raises Unavailable in an outage.
FindAccount: TypeAlias = Callable[[str, bytes | None], Awaitable[Credentials | None]]

# A second factor: whether it is in order for who knows the password.
Confirm: TypeAlias = Callable[[Account], Awaitable[bool]]

# No account has a longer address.
_NAME_OCTETS: Final = 512
_VERIFIED_ENTRIES: Final = 20_000
_DECOYS: Final = 8
# Checks of one address at a time, and how many more may wait: guesses from one must not fill the queue of all.
_CHECKS_OF_ADDRESS: Final = 2
_WAITING_OF_ADDRESS: Final = 128
# The same for all addresses together that failed lately: they must not fill it by their number either.
_CHECKS_OF_SUSPECTS: Final = 2
_WAITING_SUSPECTS: Final = 512

log = Logger()


class Authenticator:
    """Checks names and passwords.

    Each login reads the account once, so that a changed password or a disabled account counts from the next login on;
    only the hashing is saved for credentials that were right lately. An outage of the database, or more logins than
    can be hashed, is Unavailable and never a wrong password: clients throw away passwords that are called wrong.

    A password that has the form of an app password is looked for among those of the account by the same statement; one
    that is not found there, or is not for the protocol, is checked as any other. `uses` has the last uses of app
    passwords until somebody writes them down.

    :param pool: where passwords are hashed: one thread a core, a short queue.
    :param verified_seconds: how long credentials that were right are remembered; 0 for never.
    :param trusted_networks: clients there are not slowed down by failures.
    """

    def __init__(
        self,
        find_account: FindAccount,
        pool: BoundedPool,
        *,
        reactor: Any,
        verified_seconds: float = 300,
        trusted_networks: Sequence[Network] = (),
    ) -> None:
        self._find_account = find_account
        self._pool = pool
        self._reactor = reactor
        self._verified_seconds = verified_seconds
        self._verified = VerifiedCache(verified_seconds, _VERIFIED_ENTRIES, reactor.seconds)
        self._slowdown = Slowdown(reactor.seconds, trusted=trusted_networks)
        self._lanes = Lanes(_CHECKS_OF_ADDRESS, _WAITING_OF_ADDRESS)
        self._suspects = Lanes(_CHECKS_OF_SUSPECTS, _WAITING_SUSPECTS)
        self._checks: dict[bytes, Flight[bool]] = {}
        self._decoys = _Decoys()
        self.uses: Final = LastUses()

    def configure(self, verified_seconds: float, trusted_networks: Sequence[Network]) -> None:
        """Go by these from now on. Where the time is another one, nothing is remembered any more."""
        if verified_seconds != self._verified_seconds:
            self._verified_seconds = verified_seconds
            self._verified = VerifiedCache(verified_seconds, _VERIFIED_ENTRIES, self._reactor.seconds)
        self._slowdown.trust(trusted_networks)

    async def login(
        self,
        name: bytes,
        password: bytes,
        address: str,
        protocol: str,
        authorize_as: bytes = b"",
        confirm: Confirm | None = None,
    ) -> Account:
        """The account that `name` and `password` open, to a client at IP `address`.

        `authorize_as` is SASL's authorization identity: empty or the name itself. Where the password is right,
        `confirm` is asked; its no is a failure as any other. Raises AuthenticationFailed, AccountDisabled and
        AuthorizationFailed (both only to who knows the password), or Unavailable.
        """
        result = "failed"
        try:
            account = await self._login(name, password, address, protocol, authorize_as, confirm)
            result = "ok"
            return account
        except AccountDisabled:
            result = "disabled"
            raise
        except MailError as error:
            if error.transient:
                result = "unavailable"
            raise
        except BaseException:
            result = "interrupted"
            raise
        finally:
            LOGINS.labels(protocol, result).inc()
            log.info(
                "login {result} for {name!r} from {address} over {protocol}",
                result=result,
                address=address,
                protocol=protocol,
                # Last: etc/fail2ban reads what stands before anything that a client has sent.
                name=name[:_NAME_OCTETS].decode("utf-8", "replace"),
            )

    async def _login(
        self,
        name: bytes,
        password: bytes,
        address: str,
        protocol: str,
        authorize_as: bytes,
        confirm: Confirm | None,
    ) -> Account:
        known_as = name_key(name)
        key = hashlib.sha256(known_as.encode() if known_as else name).digest()
        wait = self._slowdown.wait(address, key)
        if wait:
            await deferLater(self._reactor, wait)
        found = await self._find_account(known_as, app_passwords.digest(password)) if known_as else None
        by_app_password = found is not None and protocol in found.protocols
        right = by_app_password or await self._is_right(found, key, password, self._slowdown.host(address))
        if right and found is not None and confirm is not None:
            right = await confirm(found.account)
        if not right or found is None:
            self._slowdown.failed(address, key)
            raise AuthenticationFailed
        self._slowdown.succeeded(address, key)
        account = found.account
        if not account.active:
            raise AccountDisabled
        if authorize_as and name_key(authorize_as) != known_as:
            raise AuthorizationFailed
        if by_app_password:
            self.uses.note(Use(found.app_password, time.time_ns() // 1000, address))
        return account

    async def _is_right(self, found: Credentials | None, key: bytes, password: bytes, host: bytes | None) -> bool:
        """Whether the password is the account's own; it takes as long where there is no account."""
        if found is None or not found.password_hash:
            digest = self._verified.digest(None, key.hex(), password)
            return await self._shared(digest, lambda: self._pretend(key, password, host))
        account, stored = found.account, found.password_hash
        digest = self._verified.digest(account, stored, password)
        if digest in self._verified:
            return True
        return await self._shared(digest, lambda: self._check(digest, account, stored, password, host))

    async def _shared(self, digest: bytes, begin: Callable[[], Coroutine[Any, Any, bool]]) -> bool:
        """The answer of a check that attempts with the same credentials at the same time share.

        Clients open several connections at once; attempts on names that do not exist share too, or it would show.
        """
        check = self._checks.get(digest)
        if check is None:
            check = Flight(begin())
            if not check.landed:
                self._checks[digest] = check
                check.when_landed(lambda: self._checks.pop(digest, None))
        return await check.result()

    async def _check(self, digest: bytes, account: Account, stored: str, password: bytes, host: bytes | None) -> bool:
        try:
            right = await self._verify(stored, password, host)
        except passwords.UnusableHash as error:
            log.error("the password hash of account {account} cannot be used: {error}", account=account.id, error=error)
            await self._verify(passwords.decoy(), password, host)
            return False
        self._decoys.learn(stored)
        if right:
            self._verified.add(digest)
        return right

    async def _pretend(self, key: bytes, password: bytes, host: bytes | None) -> bool:
        await self._verify(self._decoys.choose(key), password, host)
        return False

    async def _verify(self, stored: str, password: bytes, host: bytes | None) -> bool:
        def check() -> Awaitable[bool]:
            suspects = b"" if host is not None and self._slowdown.has_failed(host) else None
            return self._suspects.run(suspects, lambda: self._pool.run(passwords.verify, stored, password))

        return await self._lanes.run(host, check)


class _Decoys:
    """Hashes to check where there is no account, as costly as the ones that accounts have here.

    A name always gets the same one of them: repeated guesses show no more than the first.
    """

    def __init__(self) -> None:
        first = passwords.decoy()
        self._by_cost = {passwords.cost(first): first}
        self._untouched = True

    def learn(self, stored: str) -> None:
        """Take note of what an account's hash costs."""
        cost = passwords.cost(stored)
        if cost in self._by_cost:
            self._untouched = False
            return
        if self._untouched:  # no account has been seen with the form that was assumed
            self._by_cost.clear()
            self._untouched = False
        if len(self._by_cost) < _DECOYS:
            self._by_cost[cost] = passwords.decoy(stored)

    def choose(self, key: bytes) -> str:
        """The decoy for a name."""
        decoys = list(self._by_cost.values())
        return decoys[int.from_bytes(hashlib.sha256(key).digest()[:8], "big") % len(decoys)]


def name_key(name: bytes) -> str | None:
    """A login name in the one form that failures and authorization identities are compared by; None if it has none."""
    if len(name) > _NAME_OCTETS:
        return None
    try:
        text = name.decode("utf-8").strip()
    except UnicodeDecodeError:
        return None
    return unicodedata.normalize("NFC", text.casefold()) or None
