"""What a start does about stores that do not answer: a mistake is refused in one line, an outage is lived with.

A front end that restarts while the object store is away, or while a disk is full, still serves logins, lists, flags
and whatever is cached. So nothing but a definite refusal (wrong credentials, no such bucket, no permission) keeps it
from starting once the database has met its bucket; before that, silence is taken for a mistake in the configuration.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.logger import Logger

from lightmail.app.lifecycle import Parts, service_part
from lightmail.errors import Outage, Unavailable
from lightmail.jobs.epochs import Epochs
from lightmail.rounds import Rounds
from lightmail.threads import BoundedPool

log = Logger()

_CHECK_SECONDS: Final = 60.0
_AGAIN_SECONDS: Final = 5.0
# A start waits so long for the database to be compared with its bucket.
_COMPARE_SECONDS: Final = 5.0
_COMPARE_AGAIN_SECONDS: Final = 60.0


async def check_or_wait(
    name: str, check: Callable[[], None], pool: BoundedPool, parts: Parts, reactor: Any, *, established: bool
) -> None:
    """Run a blocking check of `name`; where that meets an outage, log it and check again in the background.

    Raises StartupError, Outage too where the store is not `established`.
    """
    try:
        await _within(name, pool, check, reactor)
        return
    except Outage as outage:
        if not established:
            raise
        log.error(
            "{outage} The server starts without the {name}, and uses it when it is back.", outage=outage, name=name
        )
    seen = False

    async def again() -> None:
        nonlocal seen
        if not seen:
            try:
                await _within(name, pool, check, reactor)
            except Outage:
                raise Unavailable from None
            seen = True
            log.info("the {name} is back", name=name)

    rounds = Rounds(
        again,
        reactor=reactor,
        interval_seconds=_AGAIN_SECONDS,
        deadline_seconds=2 * _CHECK_SECONDS,
        trouble=f"the {name} is still away",
        recovery=f"the {name} serves again",
    )
    await parts.start(service_part(name, rounds))


async def compare_epochs(epochs: Epochs, parts: Parts, reactor: Any) -> None:
    """Compare the database with its bucket now, for some seconds at most, and every minute from now on."""
    comparing = Deferred.fromCoroutine(epochs.check())
    await comparing.addTimeout(_COMPARE_SECONDS, reactor, onTimeoutCancel=lambda result, seconds: None)
    rounds = Rounds(
        epochs.compare,
        reactor=reactor,
        interval_seconds=_COMPARE_AGAIN_SECONDS,
        deadline_seconds=_COMPARE_AGAIN_SECONDS,
        trouble="the database cannot be compared with its bucket",
        recovery="the database is compared with its bucket again",
    )
    await parts.start(service_part("epochs", rounds))


async def _within(name: str, pool: BoundedPool, check: Callable[[], None], reactor: Any) -> None:
    try:
        await Deferred.fromCoroutine(pool.run(check)).addTimeout(_CHECK_SECONDS, reactor)
    except DeferredTimeout:
        raise Outage(f"The {name} did not answer within {_CHECK_SECONDS:.0f} s.") from None
