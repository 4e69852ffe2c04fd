"""When and from where app passwords were last used, kept until somebody writes it down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# More than are used between two writings; beyond that the oldest use is not written down.
_BOUND: Final = 10_000


@dataclass(frozen=True, slots=True)
class Use:
    """The last use of an app password (its id): Unix microseconds, and the client's IP address."""

    app_password: int
    used_us: int
    address: str


class LastUses:
    """The last use of each app password since `take`. All methods belong to the reactor's thread."""

    def __init__(self) -> None:
        self._uses: dict[int, Use] = {}

    def note(self, use: Use) -> None:
        """An app password was used."""
        self._uses.pop(use.app_password, None)
        self._uses[use.app_password] = use
        if len(self._uses) > _BOUND:
            del self._uses[next(iter(self._uses))]

    def take(self) -> list[Use]:
        """What was noted since the last time, to be written down."""
        uses, self._uses = self._uses, {}
        return list(uses.values())

    def give_back(self, uses: list[Use]) -> None:
        """What could not be written down; what was noted meanwhile is newer."""
        newer, self._uses = self._uses, {}
        for use in [*uses, *newer.values()]:
            self.note(use)
