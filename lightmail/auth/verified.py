"""Credentials that were found right a moment ago, so that a client's next connection costs no hashing."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from typing import Final

from lightmail.model import Account


class VerifiedCache:
    """Remembers for `ttl_seconds` that a password matched a hash, at most `entries` at once; 0 seconds: never.

    It holds no password and no plain hash of one, but an HMAC under a key that lives as long as the process. The HMAC
    also covers the account, its state and its stored hash: after a change of password, or of the account, an entry
    is never found again.

    :param seconds: a monotonic clock.
    """

    def __init__(self, ttl_seconds: float, entries: int, seconds: Callable[[], float]) -> None:
        self._ttl: Final = ttl_seconds
        self._bound: Final = entries
        self._seconds: Final = seconds
        self._key: Final = secrets.token_bytes(32)
        # By age: every entry lives equally long, so the first is the next to end.
        self._ends: dict[bytes, float] = {}

    def digest(self, account: Account | None, stored: str, password: bytes) -> bytes:
        """The key of a credential: 32 octets. Without an account, of one that is nobody's."""
        state = b"%d:%b:%d:" % (account.id, account.uuid, account.active) if account is not None else b"-"
        hashed = stored.encode()
        return hmac.digest(self._key, b"%b%d:%b:%b" % (state, len(hashed), hashed, password), "sha256")

    def __contains__(self, digest: bytes) -> bool:
        """Whether the credential was found right, not too long ago."""
        ends = self._ends.get(digest)
        if ends is None:
            return False
        if ends > self._seconds():
            return True
        del self._ends[digest]
        return False

    def add(self, digest: bytes) -> None:
        """Remember that the credential is right."""
        if self._ttl <= 0:
            return
        now = self._seconds()
        self._ends.pop(digest, None)
        self._ends[digest] = now + self._ttl
        while self._ends:
            oldest = next(iter(self._ends))
            if len(self._ends) <= self._bound and self._ends[oldest] > now:
                break
            del self._ends[oldest]

    def __len__(self) -> int:
        return len(self._ends)
