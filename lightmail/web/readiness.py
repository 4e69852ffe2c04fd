"""Whether this server can serve, for balancers and their likes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from lightmail.errors import MailError

log = Logger()

Check = Callable[[], Awaitable[object]]

_REMEMBER_SECONDS: Final = 1.0


class Readiness:
    """Whether the server can serve: every check passes, and it is not about to stop.

    A check that neither answers nor fails within `deadline_seconds` has failed. Answers are kept for a second, so that
    the page can be asked as often as anyone likes.
    """

    def __init__(self, checks: Mapping[str, Check], reactor: Any, deadline_seconds: float = 5.0) -> None:
        self._checks = checks
        self._reactor = reactor
        self._deadline_seconds = deadline_seconds
        self._stopping = False
        self._state: dict[str, str] = {}
        self._asked = float("-inf")

    def stop(self) -> None:
        """From now on the answer is no: a balancer stops sending clients while the present ones are served."""
        self._stopping = True

    async def state(self) -> tuple[bool, Mapping[str, str]]:
        """Whether to send clients here, and each check's result in a word: ok, failed or stopping."""
        if self._stopping:
            return False, {"server": "stopping"}
        if self._reactor.seconds() - self._asked > _REMEMBER_SECONDS:
            self._asked = self._reactor.seconds()
            running = {name: self._begin(check) for name, check in self._checks.items()}
            self._state = {name: await result for name, result in running.items()}
        return all(word == "ok" for word in self._state.values()), self._state

    def _begin(self, check: Check) -> Deferred[str]:
        async def outcome() -> str:
            try:
                await check()
            except MailError:
                return "failed"
            except Exception:
                log.failure("a readiness check failed")
                return "failed"
            return "ok"

        result = Deferred.fromCoroutine(outcome())
        return result.addTimeout(
            self._deadline_seconds, self._reactor, onTimeoutCancel=lambda _result, _timeout: "failed"
        )
