"""Who asks for an administrative operation: what he may touch, and what the audit log says of him."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lightmail.errors import NoSuchAccount
from lightmail.store import audit
from lightmail.store.cursor import Statement

CONSOLE: Final = "console"
SERVER: Final = 0


@dataclass(frozen=True, slots=True)
class Actor:
    """An administrator at work.

    `name` is his user, token or account; `origin` the IP address he comes from, or `console`. `domain` is the id of the
    one domain that he administers, None where he administers the server.
    """

    name: str
    origin: str
    domain: int | None = None

    def require(self, domain: int) -> None:
        """Raise NoSuchAccount unless he administers the domain: another's things do not exist for him."""
        if self.domain is not None and domain != self.domain:
            raise NoSuchAccount

    def record(self, action: str, subject: str, detail: Mapping[str, Any], domain: int = SERVER) -> Statement:
        """The statement that notes what he does to `subject`, of the domain of that id, in the transaction that does it."""
        return audit.record_statement(
            self.name, action, subject, detail, origin=self.origin, domain=domain
        )
