"""What a job is to restore, as its row has it in JSON: a filter of deleted messages, and where they go."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from lightmail.store.undelete import FOR_EVER_US, Filters

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = datetime.resolution


def arguments(filters: Filters, into: str | None = None) -> dict[str, Any]:
    """The arguments of a job that restores what the filter chooses, into one mailbox or into those it was in.

    The filter names no ids.
    """
    given = {
        "mailbox": filters.mailbox,
        "mailbox_id": filters.box,
        "since": _text(filters.since_us) if filters.since_us > 0 else None,
        "until": _text(filters.until_us) if filters.until_us < FOR_EVER_US else None,
        "sender": filters.sender,
        "subject": filters.subject,
        "deleted_mailboxes": filters.whole,
        "into": into,
    }
    return {name: value for name, value in given.items() if value or (name == "mailbox" and value is not None)}


def choice(given: Mapping[str, Any]) -> tuple[Filters, str | None]:
    """The filter that these arguments hold, and the one mailbox that its messages go to; None: to where they were."""
    filters = Filters(
        mailbox=given.get("mailbox"),
        since_us=_us(given["since"]) if "since" in given else 0,
        until_us=_us(given["until"]) if "until" in given else FOR_EVER_US,
        sender=str(given.get("sender", "")),
        subject=str(given.get("subject", "")),
        whole=bool(given.get("deleted_mailboxes")),
        box=int(given.get("mailbox_id", 0)),
    )
    return filters, given.get("into")


def _text(us: int) -> str:
    """Unix microseconds as RFC 3339 in UTC, to the microsecond."""
    return (_EPOCH + us * _MICROSECOND).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _us(text: str) -> int:
    return (datetime.fromisoformat(text) - _EPOCH) // _MICROSECOND
