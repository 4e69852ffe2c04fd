"""The audit log: what operators did to other people's mail, and who they were (table `audit_log`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from lightmail.store.cursor import Statement
from lightmail.store.sqltext import NOW_US

_ACTOR_OCTETS: Final = 320
_SUBJECT_OCTETS: Final = 1000
_INSERT: Final = (
    f"INSERT INTO audit_log (happened_at, actor, action, subject, detail) VALUES ({NOW_US}, %s, %s, %s, %s)"  # noqa: S608
)


def record_statement(actor: str, action: str, subject: str, detail: Mapping[str, Any]) -> Statement:
    """The statement that notes that `actor` did `action` to `subject`, an address, in the transaction that does it.

    `detail` is what JSON can hold.
    """
    text = json.dumps(detail, separators=(",", ":"), sort_keys=True).encode("ascii")
    names = (actor.encode("utf-8", "replace")[:_ACTOR_OCTETS], action.encode(), subject.encode()[:_SUBJECT_OCTETS])
    return _INSERT, (*names, text)
