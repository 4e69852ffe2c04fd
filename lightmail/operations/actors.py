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
    one domain that he administers, None where he administers the server. Where he is signed in to the web as an
    administrator, `administrator` is his id; as the owner of an account, who administers nothing, `account` is its id.
    """

    name: str
    origin: str
    domain: int | None = None
    administrator: int | None = None
    account: int | None = None

    def administers(self, domain: int) -> bool:
        """Whether the domain of that id is his to administer."""
        return self.domain is None or domain == self.domain

    def require(self, domain: int) -> None:
        """Raise NoSuchAccount unless he administers the domain: another's things do not exist for him."""
        if not self.administers(domain):
            raise NoSuchAccount

    def may_see(self, account: int, domain: int) -> bool:
        """Whether the account of that id, in the domain of that id, is his to look after: its owner's is."""
        return self.administers(domain) or account == self.account

    def require_account(self, account: int, domain: int) -> None:
        """Raise NoSuchAccount unless he may look after the account."""
        if not self.may_see(account, domain):
            raise NoSuchAccount

    def require_server(self) -> None:
        """Raise NotPermitted unless he administers the server."""
        if self.domain is not None:
            raise NotPermitted

    def record(self, action: str, subject: str, detail: Mapping[str, Any], domain: int = SERVER) -> Statement:
        """The statement that notes, in the transaction doing it, what he does to `subject`, of a domain by its id."""
        return audit.record_statement(self.name, action, subject, detail, origin=self.origin, domain=domain)
