"""What a check says: what was looked at, whether that is good, what was found, and what to do about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum


class Verdict(Enum):
    """A warning is for later; bad is what keeps mail from being served, or endangers it."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Check:
    """One line. `advice` is empty where nothing is to be done."""

    name: str
    looked_at: str
    verdict: Verdict
    found: str
    advice: str = ""

    def document(self) -> dict[str, str]:
        """It as JSON can hold it."""
        return {**asdict(self), "verdict": self.verdict.value}


def good(name: str, looked_at: str, found: str) -> Check:
    """All is well."""
    return Check(name, looked_at, Verdict.GOOD, found)


def warning(name: str, looked_at: str, found: str, advice: str) -> Check:
    """It works, and should be otherwise."""
    return Check(name, looked_at, Verdict.WARNING, found, advice)


def bad(name: str, looked_at: str, found: str, advice: str) -> Check:
    """It does not work, or endangers mail."""
    return Check(name, looked_at, Verdict.BAD, found, advice)
