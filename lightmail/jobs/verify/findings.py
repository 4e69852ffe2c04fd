"""What verifying finds, and the sum of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Severity(Enum):
    """What a finding means to a user."""

    LOSS = "loss"  # octets of a message cannot be had, or not from the bucket alone
    FAULT = "fault"  # something is served, counted or kept that is not so
    LEFTOVER = "leftover"  # a row that nobody needs


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `account` and `mailbox` are names where there are such, else ids; `key` is an object's.

    `more` names the row further where that is needed; `todo` says what to do, or what was done.
    """

    kind: str
    severity: Severity
    means: str
    todo: str
    account: str | None = None
    mailbox: str | None = None
    uid: int | None = None
    key: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)
    detail: str = ""
    repaired: bool = False

    def line(self) -> str:
        """The finding as one line of text."""
        named = {"account": self.account, "mailbox": self.mailbox, "uid": self.uid, "key": self.key, **self.more}
        where = " ".join(f"{name}={_shown(value)}" for name, value in named.items() if value is not None)
        what = f"{self.means} ({self.detail})" if self.detail else self.means
        return f"{self.kind} {where}: {what}; {'repaired' if self.repaired else self.todo}"

    def document(self) -> dict[str, Any]:
        """The finding as JSON holds it."""
        return {
            "finding": self.kind,
            "severity": self.severity.value,
            "account": self.account,
            "mailbox": self.mailbox,
            "uid": self.uid,
            "key": self.key,
            "row": {name: value if isinstance(value, int) else str(value) for name, value in self.more.items()},
            "detail": self.detail,
            "means": self.means,
            "todo": self.todo,
            "repaired": self.repaired,
        }


def _shown(value: object) -> str:
    """A value on a line of its own: what people typed may hold anything."""
    text = str(value)
    return text if text.isprintable() and " " not in text else ascii(text)


Found = Callable[[Finding], None]


@dataclass(frozen=True, slots=True)
class Report:
    """What a run came to. `counts` says of each kind how many were found and how many of them repaired; `looked` how
    many rows, keys and objects were looked at, by pass. `resumed`: it went on where an earlier one had stopped, whose
    findings are counted in."""

    counts: Mapping[str, tuple[int, int]]
    looked: Mapping[str, int]
    resumed: bool
    seconds: float

    @property
    def found(self) -> int:
        """How many findings there were."""
        return sum(found for found, _ in self.counts.values())

    @property
    def repaired(self) -> int:
        """How many of them were repaired."""
        return sum(repaired for _, repaired in self.counts.values())

    @property
    def clean(self) -> bool:
        """Whether all holds now."""
        return self.found == self.repaired

    def document(self) -> dict[str, Any]:
        """The report as JSON holds it."""
        return {
            "summary": True,
            "clean": self.clean,
            "found": self.found,
            "repaired": self.repaired,
            "kinds": {kind: {"found": each[0], "repaired": each[1]} for kind, each in sorted(self.counts.items())},
            "looked": dict(self.looked),
            "resumed": self.resumed,
            "seconds": round(self.seconds, 3),
        }
