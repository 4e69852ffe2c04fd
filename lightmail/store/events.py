"""Events: what others may want to know of, written in the transaction that makes it so (table `events`).

A kind is two words with a dot between them, such as ``quota.warning``; the detail holds names and numbers, never
text of messages or whatever else a stranger may have written without a bound.
"""

from __future__ import annotations

import json
from typing import Any, Final

from lightmail.model import AccountId
from lightmail.store.cursor import Statement
from lightmail.store.sqltext import NOW_US

KIND_OCTETS: Final = 64
DETAIL_OCTETS: Final = 4096

_INSERT: Final = f"INSERT INTO events (happened_at, kind, account, detail) VALUES ({NOW_US}, %s, %s, %s)"  # noqa: S608


def event_statement(kind: str, account: AccountId | None, detail: dict[str, Any]) -> Statement:
    """The statement that writes an event down, for a script. `detail` is what JSON can hold.

    Raises ValueError where kind or detail is over its bound: that is a bug of who makes it.
    """
    name = kind.encode("ascii")
    text = json.dumps(detail, separators=(",", ":"), sort_keys=True).encode("ascii")
    if len(name) > KIND_OCTETS or len(text) > DETAIL_OCTETS:
        raise ValueError(f"the event {kind[:KIND_OCTETS]} is too big")
    return _INSERT, (name, account, text)
