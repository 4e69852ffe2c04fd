"""A message received, towards its recipients: stored, committed, and one reply for each (RFC 2033 section 4.2).

For each recipient the log has a line, by which an operator finds out where a message is.
"""

from __future__ import annotations

import time
from collections import Counter
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
from lightmail.errors import MailError, OverQuota, ServerBug, Unavailable, VirusFound
from lightmail.lmtp.replies import Reply, refusal
from lightmail.lmtp.services import LmtpServices
from lightmail.metrics import DELIVERY_SECONDS, EMAILS_RECEIVED
from lightmail.model import AccountId, MailboxId, Virus
from lightmail.operations import viruses
from lightmail.operations.deliver import Delivered, Duplicate, Recipient, deliver, delivered_before, without_room
from lightmail.operations.viruses import Carrier
from lightmail.scanning import Verdict

log = Logger()

# How long a message waits for its turn before its client is told to come back.
TURN_SECONDS: Final = 60.0

_DELIVERED: Final = Reply(250, "2.0.0", "Delivered")
_WITHHELD: Final = Reply(250, "2.0.0", "Accepted, and withheld for a virus")

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
    began = services.reactor.seconds()
    signs = incoming.signs()
    try:
        outcomes = await _outcomes(services, turns, envelope, incoming, signs, trace)
    except MailError as error:
        outcomes = _all(envelope, error)
    except Exception:
        log.failure("delivery {id} failed", id=trace.id)
        outcomes = _all(envelope, ServerBug())
    replies = []
    results: Counter[str] = Counter()
    for of_route in outcomes:
        reply, result = _reply([outcome for _, outcome in of_route])
        results[result] += 1
        for target, outcome in of_route:
            _note(envelope.sender, target, outcome, incoming.octets, signs.message_id)
        replies.append(reply)
    for result, count in results.items():
        EMAILS_RECEIVED.labels(result).inc(count)
    DELIVERY_SECONDS.observe(services.reactor.seconds() - began)
    return replies


def refuse(sender: str, recipient: str, error: MailError) -> Reply:
    """The reply to a recipient that is not taken at RCPT, counted and noted."""
    reply = refusal(error)
    result = _result(reply)
    EMAILS_RECEIVED.labels(result).inc()
    log.info(
        "{result} from <{sender}> to <{recipient}>: {reply}",
        result=result,
        sender=sender,
        recipient=recipient,
        reply=str(reply),
    )
    return reply


async def _outcomes(
    services: LmtpServices,
    turns: DeferredSemaphore,
    envelope: Envelope,
    incoming: Incoming,
    signs: Signs,
    trace: Trace,
) -> list[list[tuple[Target, Outcome]]]:
    """For each recipient all its targets, as they were served, with their outcomes."""
    if incoming.failure is not None:
        raise incoming.failure
    verdict = await services.scanner.delivered(incoming.spool)
    virus = None if verdict is None else verdict.virus
    if virus is not None and virus.action == "reject":
        return await _refused(services, envelope, incoming, signs, virus)
    await _turn(services, turns)
    try:
        routes: Sequence[Sequence[Target]] = envelope.routes
        if (virus is not None and virus.action == "junk") or (services.config.spam_to_junk and signs.spam):
            routes = await _to_junk(services, routes)
        copies: dict[_Place, Target] = {}
        for target in chain.from_iterable(routes):
            copies.setdefault(_place(target), target)
        outcomes: dict[_Place, Outcome] = {}
        for group in delivery.batches(list(copies.values()), services.config.delivered_to):
            outcomes.update(await _deliver(services, envelope.sender, incoming, signs, group, trace, verdict))
        return [[(target, outcomes[_place(target)]) for target in route] for route in routes]
    finally:
        turns.release()


async def _refused(
    services: LmtpServices, envelope: Envelope, incoming: Incoming, signs: Signs, virus: Virus
) -> list[list[tuple[Target, Outcome]]]:
    """A refusal for each target, but for those that have the message from a delivery whose answer was lost: the virus
    was not known then, and its sender must not be told that it never came.
    """
    error = VirusFound(f"A virus was found in the message: {virus.signature}.")
    targets = list(dict.fromkeys(chain.from_iterable(envelope.routes)))
    digest = incoming.digest if signs.identified else None
    had = await delivered_before(services.transactions, envelope.sender, digest, _recipients(targets))
    outcomes: dict[Target, Outcome] = {
        target: Duplicate() if is_known else error for target, is_known in zip(targets, had, strict=True)
    }
    carrier = Carrier("lmtp", envelope.sender, incoming.octets, virus)
    told = {(target.account.id, target.given) for target, outcome in outcomes.items() if outcome is error}
    await viruses.refused(services.transactions, carrier, sorted(told))
    return [[(target, outcomes[target]) for target in route] for route in envelope.routes]


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
    services: LmtpServices,
    sender: str,
    incoming: Incoming,
    signs: Signs,
    targets: Sequence[Target],
    trace: Trace,
    verdict: Verdict | None,
) -> dict[_Place, Outcome]:
    """One object and one transaction for these targets; trouble with either is the outcome of each."""
    at_us = time.time_ns() // 1000
    name = services.config.delivered_to
    digest = incoming.digest if signs.identified else None
    virus = None if verdict is None else verdict.virus
    outcomes: dict[_Place, Outcome] = {}
    try:
        if virus is None or not virus.is_withheld:
            full = await _without_room(services, sender, incoming, digest, targets)
            outcomes = {_place(target): OverQuota() for target in full}
        open_ = [target for target in targets if _place(target) not in outcomes]
        if open_:
            blob = delivery.making(
                services.blobs, incoming, open_, trace, sender, name=name, at_us=at_us, verdict=verdict
            )
            answers = await deliver(services.transactions, blob, sender, digest, _recipients(open_), at_us, virus)
            outcomes.update({_place(target): answer for target, answer in zip(open_, answers, strict=True)})
    except MailError as error:
        outcomes = {_place(target): error for target in targets} | outcomes
    except Exception:
        # With an object for each recipient, those before may have been delivered: their replies must say so.
        log.failure("delivery {id} failed", id=trace.id)
        outcomes = {_place(target): ServerBug() for target in targets} | outcomes
    return outcomes


async def _without_room(
    services: LmtpServices, sender: str, incoming: Incoming, digest: bytes | None, targets: Sequence[Target]
) -> list[Target]:
    """The targets that are certainly full, so that nothing needs to be made for them.

    Only those that seemed full when their address was looked up are asked about: a delivery in peace asks nothing.
    They are not refused at RCPT, for a message that was delivered before, and whose answer was lost, must be
    recognized however full the mailbox is now, or its sender would be told that it never came.
    """
    doubtful = [target for target in targets if target.seems_full(incoming.octets)]
    if not doubtful:
        return []
    full = await without_room(services.transactions, incoming.octets, sender, digest, _recipients(doubtful))
    return [target for target, is_full in zip(doubtful, full, strict=True) if is_full]


def _recipients(targets: Sequence[Target]) -> list[Recipient]:
    return [Recipient(target.account, target.mailbox, target.given) for target in targets]


def _reply(outcomes: Sequence[Outcome]) -> tuple[Reply, str]:
    """One reply for all accounts behind a recipient, and what it is in a word.

    Something transient makes the client come again, and those already served are recognized then; a permanent failure
    is reported only where nobody got the message, for it would bounce.
    """
    replies = [refusal(outcome) for outcome in outcomes if isinstance(outcome, MailError)]
    for reply in replies:
        if reply.code < 500:
            return reply, _result(reply)
    if len(replies) < len(outcomes):
        fresh = [outcome for outcome in outcomes if isinstance(outcome, Delivered)]
        if any(outcome.withheld for outcome in fresh):
            return _WITHHELD, "withheld"
        return _DELIVERED, "delivered" if fresh else "duplicate"
    return replies[0], _result(replies[0])


def _result(refused: Reply) -> str:
    return "deferred" if refused.code < 500 else "refused"


def _all(envelope: Envelope, error: MailError) -> list[list[tuple[Target, Outcome]]]:
    return [[(target, error) for target in route] for route in envelope.routes]


def _note(sender: str, target: Target, outcome: Outcome, octets: int, message_id: str) -> None:
    """Say in the log what became of a message on its way to one account."""
    about = {
        "sender": sender,
        "recipient": target.given,
        "account": target.account.address,
        "octets": octets,
        "message_id": message_id,
    }
    if isinstance(outcome, Delivered) and outcome.withheld:
        log.info(
            "withheld from <{sender}> to <{recipient}>: a virus was found in it; UID {uid} in mailbox {mailbox} of"
            " {account}, {octets} octets, Message-ID {message_id}",
            **about,
            result="withheld",
            mailbox=target.mailbox,
            uid=outcome.uid,
        )
    elif isinstance(outcome, Delivered):
        log.info(
            "delivered from <{sender}> to <{recipient}>: UID {uid} in mailbox {mailbox} of {account},"
            " {octets} octets, Message-ID {message_id}",
            **about,
            result="delivered",
            mailbox=target.mailbox,
            uid=outcome.uid,
        )
    elif isinstance(outcome, Duplicate):
        log.info(
            "duplicate from <{sender}> to <{recipient}>: {account} has it already, Message-ID {message_id}",
            **about,
            result="duplicate",
        )
    else:
        reply = refusal(outcome)
        log.info(
            "{result} from <{sender}> to <{recipient}>: {reply}; {account}, {octets} octets, Message-ID {message_id}",
            **about,
            result=_result(reply),
            reply=str(reply),
        )
