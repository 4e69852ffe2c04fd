"""What an import did, or would do."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final

from lightmail.jobs.importing.source import Left

# Of what was left so many are named.
NAMED: Final = 10_000


@dataclass(slots=True)
class FolderReport:
    """One folder: `known` messages were brought before, `brought` now, `left` not, `pending` are still to come."""

    place: str
    mailbox: str
    known: int = 0
    brought: int = 0
    left: int = 0
    pending: int = 0


@dataclass(slots=True)
class Report:
    """The whole run. `octets` are those brought; `left` names what was not, folders among it."""

    folders: list[FolderReport] = field(default_factory=list)
    octets: int = 0
    left_count: int = 0
    left: list[Left] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def leave(self, left: Left, folder: FolderReport | None = None) -> None:
        """Count something that was not taken in."""
        self.left_count += 1
        if folder is not None:
            folder.left += 1
        if len(self.left) < NAMED:
            self.left.append(left)

    def note(self, note: str) -> None:
        """Say something, once."""
        if note not in self.notes:
            self.notes.append(note)

    def sum(self, name: str) -> int:
        """A count over all folders."""
        return sum(getattr(folder, name) for folder in self.folders)

    def document(self) -> dict[str, Any]:
        """All of it as JSON can hold it."""
        found = asdict(self)
        found["seconds"] = round(self.seconds, 3)
        return {**found, **{name: self.sum(name) for name in ("known", "brought", "pending")}}
