"""Where log events go: one line of text or one JSON object each, to standard error or to a file.

Events come from :class:`twisted.logger.Logger`. Each is marked with the trace that is current where it is said
(`lightmail.traces`), or with the event's own ``trace``, or the id in its ``session``. Whatever an event holds, it stays
one record: control characters are escaped, so that nothing a client sends can forge a line. A record is in the hands of
the system when whoever said it goes on: a process that is killed has lost none.

Each delivery says a line for each of its recipients, in the reactor's thread: what is done here, is done often.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from io import FileIO
from typing import Any, Final

from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent
from zope.interface import directlyProvides

from lightmail.metrics import LOG_RECORDS
from lightmail.traces import CURRENT

# The last ones change the direction of writing: a line would read as another.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]")
# What an event carries for the logger's own sake. All other fields join the JSON object.
_INTERNAL: Final = re.compile(r"log_|(?:format|isError|message|time|system|session|trace|logLevel|failure|why)\Z")
# Comparing integers is quicker than comparing constants.
_WEIGHTS: Final = {level: weight for weight, level in enumerate(LogLevel.iterconstants())}


class Destination:
    """A stream to write records to; one with a path can be opened anew after logrotate has moved it away."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._file = self._open()

    def write(self, text: str) -> None:
        """Append one record. A full disk or a closed pipe costs the record, never the server."""
        octets = text.encode("utf-8", "backslashreplace")
        try:
            # Nearly always all of it at once, so that records of threads do not mix.
            while (written := self._file.write(octets)) and written < len(octets):
                octets = octets[written:]
        except (OSError, ValueError):
            pass

    def reopen(self) -> None:
        """Open the path anew; without a path this does nothing."""
        if self._path is not None:
            old, self._file = self._file, self._open()
            old.close()

    def close(self) -> None:
        """Close the file; standard error stays open."""
        if self._path is not None:
            self._file.close()

    def _open(self) -> FileIO:
        if self._path is None:
            # Not sys.stderr: Twisted's logging takes that over to turn what is printed there into events.
            assert sys.__stderr__ is not None
            return FileIO(sys.__stderr__.fileno(), "w", closefd=False)
        return FileIO(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640), "a")


def observer(destination: Destination, level: str, as_json: bool, keep: Callable[[str], None] | None = None) -> Any:
    """An ILogObserver that writes events of `level` (debug, info, warn, error) and above to `destination`.

    `keep` gets each record that is written, too, as it was written.
    """
    least = _WEIGHTS[LogLevel.levelWithName(level)]
    form = format_json if as_json else format_text

    def write(event: LogEvent) -> None:
        if _weight(event) >= least:
            record = _formed(form, event)
            destination.write(record)
            if keep is not None:
                keep(record)

    directlyProvides(write, ILogObserver)
    return write


def count(event: LogEvent) -> None:
    """An ILogObserver for the metrics: how many warnings, errors and bugs there were, written or not."""
    level = event.get("log_level")
    if level is not None and level >= LogLevel.warn:
        LOG_RECORDS.labels(level.name).inc()


directlyProvides(count, ILogObserver)


def _weight(event: LogEvent) -> int:
    """The level of an event; what Twisted says by its old logger of ports and factories is debugging to us."""
    level = event.get("log_level") or LogLevel.info
    if level is LogLevel.info and event.get("log_namespace") == "log_legacy":
        level = LogLevel.debug
    return _WEIGHTS[level]


def _formed(form: Callable[[LogEvent], str], event: LogEvent) -> str:
    """The record of an event, or of what keeps it from being said: no event takes others with it."""
    try:
        return form(event)
    except Exception as error:
        said: LogEvent = {key: event[key] for key in ("log_time", "log_level", "log_namespace") if key in event}
        said |= {"log_format": "what was to be said here cannot be: {why}", "why": type(error).__name__}
        return form(said)


def format_text(event: LogEvent) -> str:
    """``2026-01-31T12:00:00.000Z info  imap [trace] message``; a traceback follows, indented."""
    trace = _trace(event)
    where = f"{_source(event)} [{one_line(trace)}]" if trace else _source(event)
    line = f"{_moment(event)} {_level(event):5} {where} {one_line(_message(event))}\n"
    traceback = _traceback(event)
    return line + "".join(f"    {one_line(part)}\n" for part in traceback.splitlines()) if traceback else line


def format_json(event: LogEvent) -> str:
    """One JSON object: time, level, source, trace, session, message, the event's own fields, and a traceback."""
    record: dict[str, Any] = {"time": _moment(event), "level": _level(event), "source": _source(event)}
    if trace := _trace(event):
        record["trace"] = trace
    if event.get("session"):
        record["session"] = str(event["session"])
    record["message"] = _message(event)
    for key, value in event.items():
        if not _is_internal(key) and key not in record:
            record[key] = value if isinstance(value, bool | int | float | str | None) else _plain(value)
    if traceback := _traceback(event):
        record["traceback"] = traceback
    return json.dumps(record, ensure_ascii=True).replace("\x7f", "\\u007f") + "\n"


@lru_cache(maxsize=1024)
def _is_internal(key: str) -> bool:
    return _INTERNAL.match(key) is not None


def _plain(value: Any) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _trace(event: LogEvent) -> str:
    return str(event.get("trace") or CURRENT.get() or event.get("session") or "")


def _message(event: LogEvent) -> str:
    """What `formatEvent` says, which takes ten times as long where nothing is to be called."""
    form = event.get("log_format")
    if type(form) is str and "()" not in form and "log_flattened" not in event:
        try:
            return form.format_map(event)
        except Exception:
            return formatEvent(event)  # which says what cannot be said
    return formatEvent(event)


def _moment(event: LogEvent) -> str:
    seconds, micros = divmod(round(event.get("log_time", 0.0) * 1_000_000), 1_000_000)
    return f"{_second(seconds)}.{micros // 1000:03}Z"


@lru_cache(maxsize=16)
def _second(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _level(event: LogEvent) -> str:
    level = event.get("log_level")
    return "info" if level is None else str(level.name)


def _source(event: LogEvent) -> str:
    """The module that speaks, as far as it is ours."""
    namespace = str(event.get("log_namespace") or "")
    return namespace.removeprefix("lightmail.") if namespace.startswith("lightmail.") else "twisted"


def one_line(text: str) -> str:
    """The text with its control characters escaped, and those that change the direction of writing."""
    # What is printable throughout has none of them.
    return text if text.isprintable() else _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def _traceback(event: LogEvent) -> str:
    failure = event.get("log_failure")
    return "" if failure is None else str(failure.getTraceback())
