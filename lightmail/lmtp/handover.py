"""A message received, towards its recipients: stored, committed, and one reply for each (RFC 2033 section 4.2)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final, TypeAlias

from twisted.internet.defer import DeferredSemaphore
from twisted.internet.defer import TimeoutError as WaitedTooLong
from twisted.logger import Logger

from lightmail.delivery import incoming as delivery
from lightmail.delivery.addresses import Target, junk_txn
from lightmail.delivery.headers import Signs, Trace
from lightmail.delivery.incoming import Incoming
from lightmail.errors import MailError, ServerBug, Unavailable
from lightmail.lmtp.replies import Reply, refusal
from lightmail.lmtp.services import LmtpServices
from lightmail.metrics import EMAILS_RECEIVED
from lightmail.model import AccountId, MailboxId
from lightmail.operations.deliver import Delivered, Duplicate, Recipient, deliver

log = Logger()

# How long a message waits for its turn before its client is told to come back.
TURN_SECONDS: Final = 60.0

_DELIVERED: Final = Reply(250, "2.0.0", "Delivered")

Outcome: TypeAlias = Delivered | Duplicate | MailError
_Place: TypeAlias = tuple[AccountId, MailboxId]


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a client said of a message before its data: who sent it, and the targets of each accepted RCPT, in order."""

    sender: str
    routes: tuple[tuple[Target, ...], ...]


async def hand_over(
    services: LmtpServices, turns: DeferredSemaphore, envelope: Envelope, incoming: Incoming, trace: Trace
) -> list[Reply]:
    """Deliver, and reply to each recipient in order. Never raises: what goes wrong is in the replies.

    A mailbox that several recipients lead to gets one copy; its outcome answers for all of them.
    """
    try:
        outcomes = await _outcomes(services, turns, envelope, incoming, trace)
    except MailError as error:
        return _all(envelope, error)
    except Exception:
        log.failure("delivery {id} failed", id=trace.id)
        return _all(envelope, ServerBug())
    return [_reply(of_route) for of_route in outcomes]


async def _outcomes(
    services: LmtpServices, turns: DeferredSemaphore, envelope: Envelope, incoming: Incoming, trace: Trace
) -> list[list[Outcome]]:
    """For each recipient the outcomes of all its targets."""
    if incoming.failure is not None:
        raise incoming.failure
    await _turn(services, turns)
    try:
        routes: Sequence[Sequence[Target]] = envelope.routes
        signs = incoming.signs()
        if services.config.spam_to_junk and signs.spam:
            routes = await _to_junk(services, routes)
        copies: dict[_Place, Target] = {}
        for target in chain.from_iterable(routes):
            copies.setdefault(_place(target), target)
        outcomes: dict[_Place, Outcome] = {}
        for group in delivery.batches(list(copies.values()), services.config.delivered_to):
            outcomes.update(await _deliver(services, envelope.sender, incoming, signs, group, trace))
        return [[outcomes[_place(target)] for target in route] for route in routes]
    finally:
        turns.release()


def _place(target: Target) -> _Place:
    return target.account.id, target.mailbox


async def _turn(services: LmtpServices, turns: DeferredSemaphore) -> None:
    """Wait until one more delivery may be in progress."""
    waiting = turns.acquire()
    if waiting.called:
        return
    waiting.addTimeout(TURN_SECONDS, services.reactor)
    try:
        await waiting
    except WaitedTooLong:
        raise Unavailable from None


async def _to_junk(services: LmtpServices, routes: Sequence[Sequence[Target]]) -> list[list[Target]]:
    """The same routes, but into the accounts' mailboxes for spam where they have one."""
    accounts = list({target.account.id for route in routes for target in route})
    junk = await services.database.read("junk", junk_txn, accounts)
    return [
        [replace(target, mailbox=junk.get(target.account.id, target.mailbox)) for target in route] for route in routes
    ]


async def _deliver(
    services: LmtpServices, sender: str, incoming: Incoming, signs: Signs, targets: Sequence[Target], trace: Trace
) -> dict[_Place, Outcome]:
    """One object and one transaction for these targets; trouble with either is the outcome of each."""
    at_us = time.time_ns() // 1000
    name = services.config.delivered_to
    digest = incoming.digest if signs.identified else None
    recipients = [Recipient(target.account, target.mailbox, target.given) for target in targets]
    outcomes: Sequence[Outcome]
    try:
        blob = await delivery.store(services.blobs, incoming, targets, trace, sender, name=name, at_us=at_us)
        outcomes = await deliver(services.transactions, blob, sender, digest, recipients, at_us)
    except MailError as error:
        outcomes = [error] * len(targets)
    except Exception:
        # With an object for each recipient, those before may have been delivered: their replies must say so.
        log.failure("delivery {id} failed", id=trace.id)
        outcomes = [ServerBug()] * len(targets)
    return {_place(target): outcome for target, outcome in zip(targets, outcomes, strict=True)}


def _reply(outcomes: Sequence[Outcome]) -> Reply:
    """One reply for all accounts behind a recipient.

    Something transient makes the client come again, and those already served are recognized then; a permanent failure
    is reported only where nobody got the message, for it would bounce.
    """
    errors = [outcome for outcome in outcomes if isinstance(outcome, MailError)]
    replies = [refusal(error) for error in errors]
    for reply in replies:
        if reply.code < 500:
            return _counted(reply, "deferred")
    if len(errors) < len(outcomes):
        fresh = any(isinstance(outcome, Delivered) for outcome in outcomes)
        return _counted(_DELIVERED, "delivered" if fresh else "duplicate")
    return _counted(replies[0], "refused")


def _all(envelope: Envelope, error: MailError) -> list[Reply]:
    reply = refusal(error)
    result = "deferred" if reply.code < 500 else "refused"
    return [_counted(reply, result) for _ in envelope.routes]


def _counted(reply: Reply, result: str) -> Reply:
    EMAILS_RECEIVED.labels(result).inc()
    return reply
