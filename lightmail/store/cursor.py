"""What a store function works with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

Row = tuple[Any, ...]
Params = Sequence[Any]
Statement = tuple[str, Params]


class Bulk(NamedTuple):
    """A statement of a script that reads rows of integers, none of them NULL, in no particular order.

    It is ``SELECT columns FROM source``; `key` is one of the columns whose values are spread, such as a UID, or None
    where there are few rows. MySQL's side packs rows into texts, which PyMySQL takes in at a quarter of the cost of
    rows, and of a single row at half.
    """

    columns: tuple[str, ...]
    source: str
    key: str | None
    params: Params


class Result(NamedTuple):
    """What one statement of a script gave: rows found or changed, and the rows it returned."""

    rowcount: int
    rows: Sequence[Row]


class Cursor(Protocol):
    """Runs statements, on one connection and in one thread. ``rowcount`` counts rows *found*, changed or not.

    Placeholders are ``%s``; statements are constants, values always parameters. A script is one round trip to a
    server: put statements that need no answer of each other into one. When a statement of it fails, those after it
    were not run.
    """

    @property
    def rowcount(self) -> int: ...

    def execute(self, sql: str, params: Params = (), /) -> int:
        """Run one statement; the number of rows found, changed or returned."""

    def fetchone(self) -> Row | None: ...

    def fetchall(self) -> Sequence[Row]: ...

    def script(self, statements: Sequence[Statement | Bulk], /) -> list[Result]:
        """Run several statements in order, together; their results in the same order."""

    def first(self, sql: str, params: Params, check: Callable[[int], None], /) -> None:
        """Run `sql` ahead of the next statement, in its round trip; `check` gets its row count, and may raise."""
