"""What was sent, what was acknowledged, what was removed: and so what must be there in the end."""

from __future__ import annotations

import random
import re
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from itertools import count

_NUMBER = re.compile(rb"Message-ID: <([0-9]+)@soak>", re.IGNORECASE)

Place = tuple[str, str]  # an address and a mailbox


class Fate(Enum):
    """Whether something happened, as far as its client knows."""

    NO = 0
    PERHAPS = 1
    YES = 2


@dataclass
class Copy:
    """One message in one mailbox."""

    arrived: Fate = Fate.NO
    removed: Fate = Fate.NO

    def allows(self, found: int) -> bool:
        """Whether so many may be found: never two, one if it was acknowledged, none if its removal was."""
        if found > 1 or (found and (self.arrived is Fate.NO or self.removed is Fate.YES)):
            return False
        return bool(found) or self.arrived is not Fate.YES or self.removed is not Fate.NO


@lru_cache(maxsize=256)
def message(number: int) -> bytes:
    """Message `number`, always the same: a few kilobytes, now and then much more."""
    source = random.Random(number)
    octets = source.choices((3_000, 20_000, 300_000, 1_500_000), (70, 27, 2.5, 0.5))[0]
    lines = [f"{source.getrandbits(288):072x}\r\n" for _ in range(source.randrange(octets // 4, octets) // 74)]
    header = f"Message-ID: <{number}@soak>\r\nSubject: soak {number}\r\nFrom: Soak <soak@example.net>\r\n\r\n"
    return f"{header}{''.join(lines)}".encode()


def number_of(octets: bytes) -> int | None:
    """The number of a message, given it or its Message-ID."""
    match = _NUMBER.search(octets)
    return int(match[1]) if match else None


class Ledger:
    """Safe in all threads. A removal belongs to one client per mailbox."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places: dict[Place, dict[int, Copy]] = {}
        self._numbers = count(1)
        self.acknowledged = 0

    def new(self) -> int:
        """A number that no message has yet."""
        with self._lock:
            return next(self._numbers)

    def sent(self, place: Place, number: int) -> None:
        """A message is on its way: from now on it may be there."""
        with self._lock:
            copy = self._copy(place, number)
            if copy.arrived is Fate.NO:
                copy.arrived = Fate.PERHAPS

    def acknowledge(self, place: Place, number: int) -> None:
        """It was acknowledged."""
        with self._lock:
            self._copy(place, number).arrived = Fate.YES
            self.acknowledged += 1

    def removing(self, place: Place, numbers: Iterable[int]) -> None:
        """They may be gone from now on."""
        with self._lock:
            for number in numbers:
                self._copy(place, number).removed = Fate.PERHAPS

    def removed(self, place: Place, numbers: Iterable[int]) -> None:
        """Their removal was acknowledged."""
        with self._lock:
            for number in numbers:
                self._copy(place, number).removed = Fate.YES

    def known(self, place: Place, number: int) -> bool:
        """Whether the message was ever sent there."""
        with self._lock:
            return number in self._places.get(place, ())

    def judge(self, place: Place, found: Counter[int]) -> list[str]:
        """What is wrong with what was found."""
        with self._lock:
            copies = self._places.get(place, {})
            wrong = [
                f"{place}: message {number} is there {found[number]} times, {copy}"
                for number, copy in copies.items()
                if not copy.allows(found[number])
            ]
            return wrong + [f"{place}: message {number} was never sent" for number in found if number not in copies]

    def places(self) -> list[Place]:
        """Where anything was sent."""
        with self._lock:
            return list(self._places)

    def _copy(self, place: Place, number: int) -> Copy:
        return self._places.setdefault(place, {}).setdefault(number, Copy())
