"""An endpoint is a row: method, path, the scope it needs, and the coroutine that answers.

    Endpoint("GET", "/admin/accounts/{id}", Scope.ACCOUNTS_READ, "Show an account", show, answer=ACCOUNT)

What a row says is checked before its coroutine runs: token, scope, path, query and body. It returns one of the answers
below, or raises: `Problem`, or a `MailError`, whose HTTP status is its answer's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from lightmail.operations.actors import Actor
from lightmail.web.api.pages import PageRequest, Position
from lightmail.web.api.schemas import Id, Object, Schema
from lightmail.web.api.scopes import Scope
from lightmail.web.api.services import ApiServices


@dataclass(frozen=True, slots=True)
class Json:
    """A JSON value; `status` where it is not the endpoint's own."""

    value: Any
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Items of a list. `next_cursor` is the position behind the last one, None where nothing follows; `total` is None
    where counting would cost too much."""

    items: Sequence[Any]
    next_cursor: Position | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Octets:
    """Octets as they are: at once, or in pieces that are asked for as the client reads.

    `filename` makes it a download. `length` is that of pieces, where it is known.
    """

    content_type: str
    filename: str | None
    body: bytes | AsyncIterator[bytes]
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Nothing:
    """204, without a body."""


Answer = Json | Page | Octets | Nothing


@dataclass(frozen=True, slots=True)
class Call:
    """A request that may be carried out: its fields are of the types that the endpoint declares.

    `actor` is who asks, and `scopes` what he may do; on a public endpoint his name is empty. `query` has every field of
    the endpoint, None where it was not given. `body` has the optional fields only where they were given. `octets` is
    the body where the endpoint `takes` another type than JSON.
    """

    actor: Actor
    scopes: Collection[Scope]
    path: Mapping[str, Any]
    query: Mapping[str, Any]
    body: Mapping[str, Any]
    page: PageRequest
    services: ApiServices
    request_id: str
    octets: bytes = b""


Run = Callable[[Call], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Query:
    """A field of the query."""

    name: str
    type: Schema
    _: KW_ONLY
    required: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A row of the table.

    `path` names its variables in braces; they are ids unless `variables` gives them another type. A `scope` of None
    makes it public. `answer` is the type of the JSON that it gives, of each item where it is `paged`; `position` are
    the types of what a cursor holds, and `offset` says whether a page may be asked for by offset. `takes` is the
    content type of a body that is not JSON and that the endpoint reads itself, `media` that of Octets. `server_only`:
    not for who administers one domain. `codes` are the problems it may answer with, besides those that every endpoint
    has; `others` the types of JSON that it gives with other statuses than its own.
    """

    method: str
    path: str
    scope: Scope | None
    summary: str
    run: Run
    _: KW_ONLY
    variables: Mapping[str, Schema] = field(default_factory=dict)
    query: Sequence[Query] = ()
    body: Object | None = None
    takes: str | None = None
    answer: Schema | None = None
    status: int = 200
    paged: bool = False
    position: Sequence[type] = (int,)
    offset: bool = True
    media: str | None = None
    server_only: bool = False
    codes: Mapping[str, int] = field(default_factory=dict)
    others: Mapping[int, Schema] = field(default_factory=dict)
    about: str = ""

    def variable(self, name: str) -> Schema:
        """The type of a variable of the path."""
        return self.variables.get(name) or Id()
