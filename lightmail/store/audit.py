"""The audit log: what operators did to other people's mail, and who they were (table `audit_log`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from lightmail.store.cursor import Statement
from lightmail.store.sqltext import NOW_US

_ACTOR_OCTETS: Final = 320
_SUBJECT_OCTETS: Final = 1000
_ORIGIN_OCTETS: Final = 64
_INSERT: Final = (
    "INSERT INTO audit_log (happened_at, actor, action, subject, detail, origin, domain)"
    f" VALUES ({NOW_US}, %s, %s, %s, %s, %s, %s)"  # noqa: S608
)


def record_statement(
    actor: str,
    action: str,
    subject: str,
    detail: Mapping[str, Any],
    *,
    origin: str = "console",
    domain: int = 0,
) -> Statement:
    """The statement that notes that `actor` did `action` to `subject`, an address, in the transaction that does it.

    `detail` is what JSON can hold. `origin` is the IP address it was asked from; `domain` the id of the domain that
    it is about, 0 for the server as a whole.
    """
    text = json.dumps(detail, separators=(",", ":"), sort_keys=True).encode("ascii")
    names = (actor.encode("utf-8", "replace")[:_ACTOR_OCTETS], action.encode(), subject.encode()[:_SUBJECT_OCTETS])
    return _INSERT, (*names, text, origin.encode("ascii", "replace")[:_ORIGIN_OCTETS], domain)
