"""What many take of, and nobody all of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable


class Shares:
    """So much of something, of which no address may have more than a quarter at a time, unless it is `exempt`."""

    def __init__(self, total: int, exempt: Callable[[str], bool]) -> None:
        self.room = total
        self._share = max(1, total // 4)
        self._exempt = exempt
        self._taken: Counter[str] = Counter()

    def take(self, address: str, amount: int = 1) -> bool:
        """Whether there is so much for the address; then it is taken, and to be given back."""
        if amount > self.room or (self._taken[address] + amount > self._share and not self._exempt(address)):
            self._drop(address)
            return False
        self.room -= amount
        self._taken[address] += amount
        return True

    def give_back(self, address: str, amount: int = 1) -> None:
        """Give back what was taken."""
        self.room += amount
        self._taken[address] -= amount
        self._drop(address)

    def _drop(self, address: str) -> None:
        """Remember only those who have something."""
        if not self._taken[address]:
            del self._taken[address]
