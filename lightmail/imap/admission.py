"""How many connections may be open: in all, by address before login, by user and address after it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from lightmail.errors import LimitReached
from lightmail.peers import is_in

if TYPE_CHECKING:
    from collections.abc import Hashable

    from lightmail.config import LimitsConfig
    from lightmail.model import AccountId


class TooManyConnections(LimitReached):
    """A connection too many for its user and address."""

    text = "Too many connections."


class Admission:
    """Counts connections against their bounds. Addresses in trusted networks have none but the one of all together."""

    def __init__(self, limits: LimitsConfig, max_connections: int) -> None:
        self.configure(limits, max_connections)
        self._open = 0
        self._counts: Counter[Hashable] = Counter()

    def configure(self, limits: LimitsConfig, max_connections: int) -> None:
        """Admit by these bounds from now on; nobody is turned out."""
        self._limits = limits
        self._max_connections = max_connections

    def enter(self, address: str) -> Pass | None:
        """Room for a connection from `address`, to be given back by ``leave``; None if there is none."""
        if self._open >= self._max_connections:
            return None
        key = None if is_in(address, self._limits.trusted_networks) else ("address", address)
        if not self._take(key, self._limits.connections_per_address_before_login):
            return None
        self._open += 1
        return Pass(self, address, key)

    def _take(self, key: Hashable, bound: int) -> bool:
        if key is None:
            return True
        if self._counts[key] >= bound:
            return False
        self._counts[key] += 1
        return True

    def _give_back(self, key: Hashable) -> None:
        if key is not None:
            self._counts[key] -= 1
            if not self._counts[key]:
                del self._counts[key]


class Pass:
    """One connection's place."""

    __slots__ = ("_address", "_admission", "_key", "_left")

    def __init__(self, admission: Admission, address: str, key: Hashable) -> None:
        self._admission = admission
        self._address = address
        self._key = key
        self._left = False

    def login(self, account: AccountId) -> None:
        """Count as this user's from now on. TooManyConnections when the user has no room at this address."""
        if self._key is None or self._left:
            return
        admission = self._admission
        key = (account, self._address)
        if not admission._take(key, admission._limits.connections_per_user_and_address):
            raise TooManyConnections
        admission._give_back(self._key)
        self._key = key

    def leave(self) -> None:
        """The connection is gone. Leaving twice does nothing."""
        if not self._left:
            self._left = True
            self._admission._give_back(self._key)
            self._admission._open -= 1
