"""A page is a row: method, path, who may see it, and the coroutine that makes it.

    View("GET", "/web/settings", Access.OWNER, show)

What a row says is checked before its coroutine runs; for POST, that the form comes from a page of ours.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from lightmail.operations.actors import Actor
from lightmail.operations.web_sessions import SignedIn
from lightmail.web.api.services import ApiServices
from lightmail.web.pages.doorkeeper import Doorkeeper


class Access(Enum):
    """Who may see a page."""

    EVERYBODY = auto()
    SIGNED_IN = auto()  # owners of accounts, too
    ADMINISTRATOR = auto()
    SERVER = auto()  # who administers the server, not one of its domains


@dataclass(frozen=True, slots=True)
class Html:
    """A template with what it shows."""

    template: str
    values: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200


@dataclass(frozen=True, slots=True)
class Redirect:
    """Go on to a page of ours, which says `notice`, a key of `notices.TEXTS`."""

    to: str
    notice: str = ""
    secret: str | None = None  # the cookie from now on; empty: none any more


@dataclass(frozen=True, slots=True)
class File:
    """Octets for the browser to keep."""

    content_type: str
    filename: str
    octets: bytes


@dataclass(frozen=True, slots=True)
class Download:
    """What strangers wrote, for the browser to keep: in pieces, each read when the browser has taken those before.

    `length` is None where that is not known before it was read.
    """

    filename: str
    pieces: AsyncIterator[bytes]
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Framed:
    """A page that is shown in a frame of one of ours, with a Content-Security-Policy of its own."""

    octets: bytes
    policy: str


Answer = Html | Redirect | File | Download | Framed


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody's request for a page that he may see.

    `who` is None on pages for everybody. `origin` is the client's IP address, `secure` says that nobody between can
    read along. `path`, `query` and `form` are texts as they came. `site` is this server's address as the browser has
    it, such as https://mail.example.org, empty where it does not speak TLS.
    """

    who: SignedIn | None
    origin: str
    secure: bool
    browser: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    form: Mapping[str, str]
    services: ApiServices
    doorkeeper: Doorkeeper
    site: str = ""

    @property
    def actor(self) -> Actor:
        """Who asks, as operations want him: an administrator, of his first domain where he has not the server."""
        if self.who is None or self.who.administrator is None:
            name = self.who.account.address if self.who is not None and self.who.account is not None else "nobody"
            account = self.who.account.id if self.who is not None and self.who.account is not None else None
            return Actor(name, self.origin, -1, account=account)
        administrator = self.who.administrator
        domain = None if administrator.server else next((id for id, _ in administrator.domains), -1)
        return Actor(f"administrator {administrator.name}", self.origin, domain, administrator.id)

    @property
    def domain_name(self) -> str:
        """The name of the domain of `actor`, empty where he has the server."""
        administrator = self.who.administrator if self.who is not None else None
        if administrator is None or administrator.server:
            return ""
        return next((name for _, name in administrator.domains), "")

    def actor_of(self, domain: int) -> Actor:
        """As `actor`, in one of the domains that he administers; in none where it is not."""
        actor = self.actor
        if self.who is None or self.who.administrator is None or self.who.administrator.server:
            return actor
        own = domain in {id for id, _ in self.who.administrator.domains}
        return Actor(actor.name, actor.origin, domain if own else -1, actor.administrator)


Run = Callable[[Visit], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class View:
    """A row of the table. `path` names its variables in braces."""

    method: str
    path: str
    access: Access
    run: Run
