"""Who asks for an administrative operation: what he may touch, and what the audit log says of him."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lightmail.errors import NoSuchAccount, NotPermitted
from lightmail.store import audit
from lightmail.store.cursor import Statement

CONSOLE: Final = "console"
SERVER: Final = 0


@dataclass(frozen=True, slots=True)
class Actor:
    """An administrator at work.

    `name` is his user, token or account; `origin` the IP address he comes from, or `console`. `domain` is the id of the
    one domain that he administers, None where he administers the server. `administrator` is his id where he is signed in
    to the web as one.
    """

    name: str
    origin: str
    domain: int | None = None
    administrator: int | None = None

    def administers(self, domain: int) -> bool:
        """Whether the domain of that id is his to administer."""
        return self.domain is None or domain == self.domain

    def require(self, domain: int) -> None:
        """Raise NoSuchAccount unless he administers the domain: another's things do not exist for him."""
        if not self.administers(domain):
            raise NoSuchAccount

    def require_server(self) -> None:
        """Raise NotPermitted unless he administers the server."""
        if self.domain is not None:
            raise NotPermitted

    def record(self, action: str, subject: str, detail: Mapping[str, Any], domain: int = SERVER) -> Statement:
        """The statement that notes, in the transaction doing it, what he does to `subject`, of a domain by its id."""
        return audit.record_statement(self.name, action, subject, detail, origin=self.origin, domain=domain)
