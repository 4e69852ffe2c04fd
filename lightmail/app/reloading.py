"""SIGHUP: the log is opened anew, and what may change while the server runs is read and taken on; sessions stay.

It is all or nothing. Every part first prepares what the new configuration asks of it, reads certificates say, and may
refuse; only when none has, all of them change, in one turn of the reactor. What takes a restart is said in the log.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as WaitedTooLong
from twisted.logger import Logger

from lightmail.app import systemd
from lightmail.app.logfile import LogFile
from lightmail.config import Config
from lightmail.config.changes import Change, changes, in_force
from lightmail.errors import ConfigError, MailError, StartupError

log = Logger()

_DEADLINE_SECONDS: Final = 60.0

# Prepares for a configuration, in a thread, and may raise StartupError; what it returns takes that on in the reactor's
# thread, and cannot fail.
Prepare = Callable[[Config], Callable[[], None]]
InThread = Callable[..., Coroutine[Deferred[Any], Any, Any]]


def at_once(take: Callable[[Config], None]) -> Prepare:
    """What has nothing to prepare, and cannot fail."""
    return lambda config: lambda: take(config)


@dataclass(frozen=True, slots=True)
class _Prepared:
    mixed: Config
    found: list[Change]
    steps: list[Callable[[], None]]


class Reloading:
    """Reloads the configuration that is in force, `config`, by `read`; which blocks, and raises ConfigError.

    `log_file` is None where twistd was told to log elsewhere.
    """

    def __init__(self, config: Config, read: Callable[[], Config], log_file: LogFile | None, reactor: Any) -> None:
        self._config = config
        self._read = read
        self._log_file = log_file
        self._reactor = reactor
        self._parts: list[Prepare] = []
        self._in_thread: InThread | None = None
        self._running: Deferred[None] | None = None
        self._again = False

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self._config

    def add(self, prepare: Prepare) -> None:
        """Have another part take part, after those before."""
        self._parts.append(prepare)

    def hang_up(self) -> None:
        """What SIGHUP asks for. While a reload is under way another one follows it."""
        if self._log_file is not None:
            self._log_file.reopen()
        if self._in_thread is None:
            return  # the server is starting or stopping
        if self._running is not None:
            self._again = True
            return
        self._running = Deferred.fromCoroutine(self.reload())
        self._running.addErrback(lambda failure: log.failure("the reload failed", failure=failure))
        self._running.addCallback(self._ended)

    async def start(self, in_thread: InThread) -> None:
        """From now on SIGHUP reloads, too. `in_thread` calls a function in a thread."""
        self._in_thread = in_thread

    async def stop(self) -> None:
        """Reload no more, and wait for what is under way."""
        self._in_thread, self._again = None, False
        if self._running is not None:
            waiting: Deferred[None] = Deferred()
            self._running.addCallback(waiting.callback)
            await waiting

    async def reload(self) -> None:
        """Reload now; what came of it is in the log, and systemd is told."""
        systemd.notify(f"{systemd.RELOADING}\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        word = "reloaded"
        try:
            prepared = await self._prepared()
        except (ConfigError, StartupError, MailError) as error:
            log.error("nothing is reloaded, and nothing has changed: {error}", error=error)
            word = f"not reloaded: {error}"
        except WaitedTooLong:
            log.error(
                "nothing is reloaded: the files could not be read within {seconds:g} s", seconds=_DEADLINE_SECONDS
            )
            word = "not reloaded: the files could not be read in time"
        else:
            self._take_on(prepared)
        finally:
            systemd.notify(f"{systemd.READY}\nSTATUS={word}")

    async def _prepared(self) -> _Prepared:
        if self._in_thread is None:
            raise StartupError("the server is starting or stopping")
        preparing = Deferred.fromCoroutine(self._in_thread(self._prepare, self._config))
        prepared: _Prepared = await preparing.addTimeout(_DEADLINE_SECONDS, self._reactor)
        return prepared

    def _prepare(self, config: Config) -> _Prepared:
        """Everything that may fail; in a thread. The log comes last: nobody else would close it."""
        wanted = self._read()
        mixed = in_force(config, wanted)
        steps = [prepare(mixed) for prepare in self._parts]
        if self._log_file is not None:
            steps.append(self._log_file.prepare(mixed.logging))
        return _Prepared(mixed, list(changes(config, wanted)), steps)

    def _take_on(self, prepared: _Prepared) -> None:
        for step in prepared.steps:
            step()
        self._config = prepared.mixed
        for change in prepared.found:
            _tell(change)
        log.info("reloaded")

    def _ended(self, _: object) -> None:
        self._running = None
        if self._again:
            self._again = False
            self.hang_up()


def _tell(change: Change) -> None:
    where = f"[{change.section}] {change.key}".rstrip()
    if change.live:
        log.info(
            "{where} = {after} from now on; it was {before}", where=where, after=change.after, before=change.before
        )
    elif change.key:
        log.warn(
            "{where} = {after} takes a restart; {before} stays in force",
            where=where,
            after=change.after,
            before=change.before,
        )
    else:
        log.warn("{where} {what}, which takes a restart", where=where, what="is new" if change.after else "is gone")
