"""The reference: what mailboxes must hold, as far as the answers of the server say.

An operation that was answered is known to be done or not; one whose answer never came, or said only that it failed
for now, may have been done. So the model keeps for each message (by its number) and mailbox the least and the greatest
count of copies.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum

_NUMBER = re.compile(rb"<(\d+)@model>")


class Outcome(Enum):
    """What is known of an operation."""

    DONE = 1
    UNKNOWN = 2
    REFUSED = 3


def message(number: int) -> bytes:
    """Message `number`, always the same: some kilobytes, now and then more than a spool keeps in memory."""
    source = random.Random(number)
    lines = 16_000 if number % 50 == 7 else source.randrange(1, 120)
    body = "".join(f"{number} {line} {source.random()} {'.' * 40}\r\n" for line in range(lines))
    return f"Message-ID: <{number}@model>\r\nSubject: message {number}\r\n\r\n{body}".encode()


def number_in(header: bytes) -> int:
    """The number of the message that this header, or its Message-ID field, belongs to."""
    found = _NUMBER.search(header)
    assert found is not None, header
    return int(found[1])


@dataclass
class MailModel:
    """The bounds. ``pending``: deliveries that were not acknowledged, which their sender must send again."""

    low: dict[str, Counter[int]] = field(default_factory=dict)
    high: dict[str, Counter[int]] = field(default_factory=dict)
    pending: list[int] = field(default_factory=list)
    delivered: list[int] = field(default_factory=list)

    def add(self, mailbox: str, number: int, outcome: Outcome) -> None:
        """A copy of a message was put into a mailbox."""
        if outcome is not Outcome.REFUSED:
            self._of(self.high, mailbox)[number] += 1
        if outcome is Outcome.DONE:
            self._of(self.low, mailbox)[number] += 1

    def remove(self, mailbox: str, number: int, outcome: Outcome) -> None:
        """A copy of a message was taken out of a mailbox."""
        low, high = self._of(self.low, mailbox), self._of(self.high, mailbox)
        if outcome is not Outcome.REFUSED:
            low[number] = max(0, low[number] - 1)
        if outcome is Outcome.DONE:
            high[number] -= 1

    def check(self, mailbox: str, found: Counter[int]) -> None:
        """Hold what a mailbox really has against the bounds."""
        low, high = self._of(self.low, mailbox), self._of(self.high, mailbox)
        for number in {*low, *high, *found}:
            count = found[number]
            assert low[number] <= count <= high[number], (
                f"{mailbox} has message {number} {count} times, "
                f"between {low[number]} and {high[number]} were acknowledged"
            )

    def settle(self, mailbox: str, found: Counter[int]) -> None:
        """What a mailbox has was seen while nothing was under way: from now on that is certain."""
        self.check(mailbox, found)
        self.low[mailbox], self.high[mailbox] = Counter(found), Counter(found)

    @staticmethod
    def _of(side: dict[str, Counter[int]], mailbox: str) -> Counter[int]:
        return side.setdefault(mailbox, Counter())
