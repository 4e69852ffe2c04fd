"""The log of a running server: where [logging] says, and somewhere else when that says so anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel
from zope.interface import implementer

from lightmail import logs
from lightmail.config import LoggingConfig
from lightmail.errors import StartupError

log = Logger()


@implementer(ILogObserver)
class LogFile:
    """Writes events as `config` says. `keep` gets each record that is written, too. Raises StartupError."""

    def __init__(self, config: LoggingConfig, keep: Callable[[str], None] | None = None) -> None:
        self._keep = keep
        self._config = config
        self._destination = _opened(config)
        self._write = self._observer(config, self._destination)

    def __call__(self, event: LogEvent) -> None:
        """Write one event; in any thread."""
        self._write(event)

    def reopen(self) -> None:
        """Open the file anew, for logrotate has moved it away; where that fails, the old one is written on."""
        try:
            self._destination.reopen()
        except OSError as error:
            log.error("the log cannot be opened anew, {path}: {error}", path=self._config.path, error=error.strerror)

    def prepare(self, config: LoggingConfig) -> Callable[[], None]:
        """Open what another configuration asks for; what is returned takes it on, and cannot fail.

        Raises StartupError.
        """
        destination = self._destination if config.path == self._config.path else _opened(config)
        write = self._observer(config, destination)

        def take() -> None:
            old, self._destination = self._destination, destination
            self._config, self._write = config, write
            if old is not destination:
                old.close()

        return take

    def _observer(self, config: LoggingConfig, destination: logs.Destination) -> Any:
        to_file = logs.observer(destination, config.level, config.json, self._keep)
        if config.path is None:
            return to_file
        to_standard_error = logs.observer(logs.Destination(None), "critical", as_json=False)

        def to_both(event: LogEvent) -> None:
            to_file(event)
            # Whoever starts the server sees why it does not start, wherever it logs.
            if event.get("log_level") is LogLevel.critical:
                to_standard_error(event)

        return to_both


def _opened(config: LoggingConfig) -> logs.Destination:
    try:
        return logs.Destination(config.path)
    except OSError as error:
        raise StartupError(f"[logging] path: {config.path}: {error.strerror}") from None
