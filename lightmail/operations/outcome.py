"""What the function of a transaction says to whoever runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from lightmail.model import MailboxId

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Changed(Generic[T]):
    """The function's answer, and the highest MODSEQ of each mailbox it changed: the hints that follow COMMIT."""

    value: T
    modseqs: Mapping[MailboxId, int] = field(default_factory=dict)


class Nothing(Exception):
    """Roll back, there was nothing to do; `value` is the answer."""

    def __init__(self, value: Any) -> None:
        super().__init__("nothing to do")
        self.value = value


class RunAgain(Exception):
    """Roll back and run again at once, after `accept`: part of the work was refused, the rest must go on without it.

    `accept` notes the refusals. It is called only if the function's view of the rows was a valid one, which it was
    not when a transaction it shared its COMMIT with fails.
    """

    def __init__(self, accept: Callable[[], None]) -> None:
        super().__init__("part of it was refused")
        self.accept = accept
