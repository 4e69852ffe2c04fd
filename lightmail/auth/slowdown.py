"""Guessing made slow: after failures, attempts wait their turn.

Failures count per (address, name) and per address, never per name alone: nobody can lock a user out from elsewhere.
The turns of one key follow each other at a distance, so attempts side by side gain nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final

from lightmail.config import Network
from lightmail.errors import Unavailable
from lightmail.peers import ip_of, is_in

_IPV6_HOST_BITS: Final = 64


@dataclass(frozen=True, slots=True)
class Pace:
    """How attempts slow down: `free` failures cost nothing, then the distance between attempts doubles.

    A failure is forgotten every `forget_seconds`.
    """

    free: int
    first_seconds: float
    most_seconds: float
    forget_seconds: float = 60.0

    @property
    def ceiling(self) -> int:
        """Failures above this number change nothing: the distance is at its most."""
        failures = self.free + 1
        while self.distance(failures) < self.most_seconds:
            failures += 1
        return failures

    def distance(self, failures: int) -> float:
        """Seconds between attempts after that many failures."""
        if failures <= self.free:
            return 0.0
        return min(self.most_seconds, self.first_seconds * 2.0 ** (failures - self.free - 1))


PAIR: Final = Pace(free=3, first_seconds=0.5, most_seconds=15.0)
# Many users may share an address: it is slowed later and less.
ADDRESS: Final = Pace(free=20, first_seconds=0.25, most_seconds=4.0, forget_seconds=15.0)


class _Record:
    """The failures of one key, when the last was forgotten or added, and when its next attempt may be made."""

    __slots__ = ("failures", "since", "turn")

    def __init__(self, now: float) -> None:
        self.failures = 0
        self.since = now
        self.turn = now


class _Table:
    """Records of one kind, at most `entries`: the longest untouched goes first."""

    def __init__(self, pace: Pace, entries: int) -> None:
        self.pace: Final = pace
        self._entries = entries
        self._ceiling = pace.ceiling
        self._records: dict[bytes, _Record] = {}

    def __len__(self) -> int:
        return len(self._records)

    def record(self, key: bytes, now: float) -> _Record | None:
        """The record of a key that still has failures."""
        record = self._records.get(key)
        if record is None:
            return None
        forgotten = int((now - record.since) / self.pace.forget_seconds)
        if forgotten > 0:
            record.failures = max(0, record.failures - forgotten)
            record.since += forgotten * self.pace.forget_seconds
        if not record.failures and record.turn <= now:
            del self._records[key]
            return None
        return record

    def failed(self, key: bytes, now: float) -> None:
        record = self.record(key, now) or _Record(now)
        self._records.pop(key, None)
        self._records[key] = record
        if len(self._records) > self._entries:
            del self._records[next(iter(self._records))]
        record.failures = min(record.failures + 1, self._ceiling)
        record.turn = max(record.turn, now + self.pace.distance(record.failures))

    def forget(self, key: bytes) -> None:
        self._records.pop(key, None)


class Slowdown:
    """Says how long an attempt to log in has to wait, from the failures before it.

    :param seconds: a monotonic clock.
    :param trusted: networks whose addresses never wait: webmail hosts and balancers log in for many.
    :param entries: how many (address, name) pairs, and how many addresses, are remembered at most.
    :param longest_wait: seconds; an attempt whose turn is further away is refused at once.
    """

    def __init__(
        self,
        seconds: Callable[[], float],
        *,
        trusted: Sequence[Network] = (),
        entries: int = 20_000,
        longest_wait: float = 30.0,
    ) -> None:
        self._seconds = seconds
        self.trust(trusted)
        self._longest_wait = longest_wait
        self._pairs = _Table(PAIR, entries)
        self._addresses = _Table(ADDRESS, entries)

    def __len__(self) -> int:
        """How many records there are."""
        return len(self._pairs) + len(self._addresses)

    def trust(self, networks: Sequence[Network]) -> None:
        """Spare the addresses of these networks from now on, and no others."""
        self._trusted = tuple(networks)

    def wait(self, address: str, name: bytes) -> float:
        """Seconds that this attempt must wait before its password is looked at; its turn is taken by asking.

        Raises Unavailable when too many attempts wait before it already.
        """
        host = self.host(address)
        if host is None:
            return 0.0
        now = self._seconds()
        turns = []
        for table, key in ((self._pairs, _pair(host, name)), (self._addresses, host)):
            record = table.record(key, now)
            if record is not None and (distance := table.pace.distance(record.failures)):
                turns.append((record, distance))
        turn = max((record.turn for record, _ in turns), default=now)
        if turn - now > self._longest_wait:
            raise Unavailable("Too many failed attempts, try again later.")
        for record, distance in turns:
            record.turn = max(record.turn, now) + distance
        return max(0.0, turn - now)

    def failed(self, address: str, name: bytes) -> None:
        """Count a failure."""
        host = self.host(address)
        if host is not None:
            now = self._seconds()
            self._pairs.failed(_pair(host, name), now)
            self._addresses.failed(host, now)

    def succeeded(self, address: str, name: bytes) -> None:
        """Forget the failures of this name from this address. The address's own stay: others may be guessed from it."""
        host = self.host(address)
        if host is not None:
            self._pairs.forget(_pair(host, name))

    def has_failed(self, host: bytes) -> bool:
        """Whether attempts from a host, as `host` gives it, have failed lately."""
        return self._addresses.record(host, self._seconds()) is not None

    def host(self, address: str) -> bytes | None:
        """What stands for a client: its IPv4 address or its 64-bit IPv6 network; None for a trusted one."""
        host = ip_of(address)
        if host is None:
            return address.encode("utf-8", "replace")[:64]
        if is_in(address, self._trusted):
            return None
        return host.packed[: _IPV6_HOST_BITS // 8] if isinstance(host, IPv6Address) else host.packed


def _pair(host: bytes, name: bytes) -> bytes:
    return b"%d:%b%b" % (len(host), host, name)
