"""What a line of the log costs whoever says it: from the call to the system's hands, in the reactor's thread."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from twisted.logger import LogEvent, Logger, LogLevel, LogPublisher

from lightmail import logs, traces
from lightmail.app.logfile import LogFile
from lightmail.config import LoggingConfig
from lightmail.records import Recent

_ROUNDS = 7
# What `lmtp.handover` says of a delivery.
_FORM = (
    "delivered from <{sender}> to <{recipient}>: UID {uid} in mailbox {mailbox} of {account},"
    " {octets} octets, Message-ID {message_id}"
)
_ABOUT = {
    "sender": "carl@example.net",
    "recipient": "ada@example.org",
    "account": "ada@example.org",
    "octets": 10_240,
    "message_id": "<20261122.4711@example.net>",
    "result": "delivered",
    "mailbox": 12,
    "uid": 4711,
}


def table(count: int) -> None:
    """Print the costs of `count` lines a round, the least of some rounds."""
    outside = traces.CURRENT.set("4be1c09a77d2.1")
    try:
        costs = _costs(count)
    finally:
        traces.CURRENT.reset(outside)
    print("| a line of the log | µs CPU |\n| --- | --: |")
    for what, cost in costs:
        print(f"| {what} | {cost * 1e6:.1f} |")


def _costs(count: int) -> list[tuple[str, float]]:
    """What each step costs, in seconds."""
    event: LogEvent = {
        "log_format": _FORM,
        "log_level": LogLevel.info,
        "log_namespace": "lightmail.lmtp.handover",
        "log_time": time.time(),
        **_ABOUT,
    }
    line, recent = logs.format_text(event), Recent()
    with _file() as path:
        destination = logs.Destination(path)
        costs = [
            ("said, at a level that is not written", _said("warn", False, count)),
            ("formatted as text", _least(lambda: logs.format_text(event), count)),
            ("formatted as JSON", _least(lambda: logs.format_json(event), count)),
            ("kept among the recent ones", _least(lambda: recent.add(line), count)),
            ("written to the file", _least(lambda: destination.write(line), count)),
            ("all of it, as text", _said("info", False, count)),
            ("all of it, as JSON", _said("info", True, count)),
        ]
        destination.close()
    return costs


@contextmanager
def _file() -> Iterator[str]:
    descriptor, path = tempfile.mkstemp(prefix="lm-log-")
    os.close(descriptor)
    try:
        yield path
    finally:
        os.remove(path)


def _said(level: str, as_json: bool, count: int) -> float:
    """What `Logger.info` takes, with the observers that a server has (`tap.py`)."""
    with _file() as path:
        log_file = LogFile(LoggingConfig(path=path, level=level, json=as_json), Recent().add)
        log = Logger("lightmail.lmtp.handover", observer=LogPublisher(LogPublisher(log_file, logs.count)))
        try:
            return _least(lambda: log.info(_FORM, **_ABOUT), count)
        finally:
            log_file.prepare(LoggingConfig())()  # which closes the file


def _least(work: Callable[[], Any], count: int) -> float:
    """CPU seconds of one call: the least of some rounds, for whatever else the machine does makes it more."""
    found = []
    for _ in range(_ROUNDS):
        began = time.thread_time()
        for _ in range(count):
            work()
        found.append((time.thread_time() - began) / count)
    return min(found)
