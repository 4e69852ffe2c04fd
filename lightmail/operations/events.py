"""Events that a webhook's receiver wants to hear of: which they are, and the rows that carry them (docs/webhooks.md).

An operation asks for the statements in the transaction that makes the event so, and runs them there: what is committed
is told, what is rolled back is not. Where nobody wants to hear of it there are none, and it costs a look into a set.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from lightmail import traces
from lightmail.metrics import WEBHOOK_EVENTS
from lightmail.mime.fields import decoded_field
from lightmail.model import AccountId, MailboxId, ObjectId, Rendering, StoredBlob, Virus
from lightmail.store.cursor import Statement
from lightmail.store.webhooks import Event, queue_statements

DELIVERED: Final = "message.delivered"
VIRUS: Final = "virus.found"
TEST: Final = "webhook.test"
# What strangers wrote is cut: an event is small whatever a message says.
_TEXT_CHARACTERS: Final = 500

_DROPPED: Final = WEBHOOK_EVENTS.labels("dropped")
# Made once: json.dumps makes a new one for each call that wants no spaces.
_ENCODE: Final = json.JSONEncoder(separators=(",", ":")).encode


class Events:
    """The kinds of events that are wanted. Those of this process's transactions are queued, the others are not.

    It may be asked in any thread. `full` is set while the queue is too long for more: events are dropped then, and
    counted.
    """

    def __init__(self, wanted: Collection[str] = ()) -> None:
        self._wanted = frozenset(wanted)
        self.full = False

    def want(self, kinds: Collection[str]) -> None:
        """From now on these kinds are wanted."""
        self._wanted = frozenset(kinds)

    def statements(self, kind: str, account: AccountId | None, detail: Mapping[str, Any]) -> list[Statement]:
        """What queues an event of that kind, to be run in the transaction that makes it so; nothing if it is unwanted.

        `detail` is what JSON can hold: names and numbers, under keys with units.
        """
        if not self._takes(kind):
            return []
        payload = {"event": kind, "timestamp": timestamp(time.time_ns() // 1000), "account_id": account, **detail}
        return queue_statements([Event(new_id(), kind, account, _json(payload))])

    def arrival(self, protocol: str, sender: str, recipient: str, virus: Virus | None = None) -> Arrival | None:
        """How a message comes that is to be delivered, if its delivery, or the `virus` in it, is to be told."""
        kinds = [] if virus is None else [VIRUS]
        if virus is None or not virus.is_withheld:
            kinds.append(DELIVERED)
        wanted = tuple(kind for kind in kinds if self._takes(kind))
        return Arrival(protocol, sender, recipient, traces.CURRENT.get(), wanted, virus) if wanted else None

    def _takes(self, kind: str) -> bool:
        if kind in self._wanted and self.full:
            _DROPPED.inc()
            return False
        return kind in self._wanted


@dataclass(frozen=True, slots=True)
class Arrival:
    """How a message came: the protocol, the sender and recipient as they were given, the trace in the log, and which
    kinds of events are to tell it."""

    protocol: str
    sender: str
    recipient: str
    trace: str
    kinds: tuple[str, ...] = (DELIVERED,)
    virus: Virus | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that was delivered into a mailbox, or withheld from it."""

    arrival: Arrival
    account: AccountId
    mailbox: MailboxId
    uid: int
    object: ObjectId
    blob: StoredBlob
    at_us: int

    def events(self) -> list[Event]:
        """What is told of it. The message's own id is known to the database only."""
        return [self._event(kind) for kind in self.arrival.kinds]

    def _event(self, kind: str) -> Event:
        payload = {
            "event": kind,
            "timestamp": timestamp(self.at_us),
            "protocol": self.arrival.protocol,
            "account_id": self.account,
            "message_id": None,
            "mailbox_id": self.mailbox,
            "uid": self.uid,
            "object_id": self.object,
            "object_key": self.blob.key,
            "sender": shortened(self.arrival.sender),
            "recipient": shortened(self.arrival.recipient),
            "subject": shortened(_subject(self.blob.rendering)),
            "size": self.blob.octets,
            "trace": self.arrival.trace,
        }
        virus = self.arrival.virus
        if kind == VIRUS and virus is not None:
            payload |= {"signature": virus.signature, "action": virus.action}
        return Event(new_id(), kind, self.account, _json(payload), (self.mailbox, self.uid))


def body_of(payload: bytes, message: int | None) -> bytes:
    """The JSON that is sent: a queued payload, with the id of its message."""
    if message is None:
        return payload
    return _json({**json.loads(payload), "message_id": message})


def timestamp(moment_us: int) -> str:
    """A moment as RFC 3339 writes it, in UTC: ``2026-03-01T14:05:00.123456Z``."""
    seconds, microseconds = divmod(moment_us, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{microseconds:06}Z"


def _subject(rendering: Rendering) -> str:
    """The first Subject field, decoded."""
    found = decoded_field(rendering.header, rendering.header_fields, b"subject") or ""
    return found.partition("\n")[0]


def shortened(value: str) -> str:
    """What a stranger wrote, as text that any JSON parser takes: octets that are no UTF-8 are replaced."""
    cut = value[:_TEXT_CHARACTERS]
    return cut if cut.isascii() else cut.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def test_body(actor: str) -> bytes:
    """The JSON of an event of no consequence, which tries a receiver out."""
    return _json({"event": TEST, "timestamp": timestamp(time.time_ns() // 1000), "actor": actor})


def _json(payload: Mapping[str, Any]) -> bytes:
    return _ENCODE(payload).encode("ascii")


def new_id() -> bytes:
    """An event's id: 16 octets, ascending in time, and never the same twice."""
    return time.time_ns().to_bytes(8, "big") + os.urandom(8)
