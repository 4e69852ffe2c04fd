"""Log records: one line or one JSON object each, whatever an event holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.logger import Logger, LogPublisher
from twisted.python.failure import Failure

from lightmail import logs


@pytest.fixture
def destination(tmp_path: Path) -> Iterator[logs.Destination]:
    destination = logs.Destination(str(tmp_path / "log"))
    yield destination
    destination.close()


def logger(destination: logs.Destination, level: str, as_json: bool) -> Logger:
    publisher = LogPublisher(logs.observer(destination, level, as_json))
    return Logger(namespace="lightmail.imap.server", observer=publisher)


def test_text(tmp_path, destination):
    log = logger(destination, "info", False)
    log.debug("not this")
    log.info("login {result} for {account}", result="ok", account="a@b", session="c0ffee")
    line = (tmp_path / "log").read_text()
    assert line[23:] == "Z info  imap.server [c0ffee] login ok for a@b\n"


def test_nothing_a_client_sends_forges_a_line(tmp_path, destination):
    log = logger(destination, "debug", False)
    log.debug("user {name}", name="x\r\n2026-01-01 info root\x1b[2J\u2028", session="a\nb")
    text = (tmp_path / "log").read_text()
    assert text.count("\n") == 1
    assert "user x\\x0d\\x0a2026" in text
    assert "\x1b" not in text


def test_tracebacks_are_indented(tmp_path, destination):
    log = logger(destination, "info", False)
    log.failure("it broke", failure=Failure(ValueError("why")))
    first, *rest = (tmp_path / "log").read_text().splitlines()
    assert first.endswith("it broke")
    assert rest
    assert all(line.startswith("    ") for line in rest)


def test_json(tmp_path, destination):
    log = logger(destination, "warn", True)
    log.info("not this")
    log.warn("slow {name}", name="append", seconds=1.5, session="c0ffee", octets=b"\xff", thing=object)
    log.failure("it broke", failure=Failure(ValueError("why")))
    slow, broke = map(json.loads, (tmp_path / "log").read_text().splitlines())
    assert slow["message"] == "slow append"
    assert (slow["level"], slow["source"], slow["session"]) == ("warn", "imap.server", "c0ffee")
    assert (slow["name"], slow["seconds"], slow["octets"]) == ("append", 1.5, "\\xff")
    assert slow["thing"] == str(object)
    assert broke["level"] == "critical"
    assert "ValueError: why" in broke["traceback"]


def test_logrotate(tmp_path, destination):
    path = tmp_path / "log"
    log = logger(destination, "info", False)
    log.info("one")
    path.rename(tmp_path / "log.1")
    log.info("two")
    destination.reopen()
    log.info("three")
    assert "three" in path.read_text()
    assert "two" in (tmp_path / "log.1").read_text()


def test_twisted_chatter_is_debugging(destination, tmp_path):
    publisher = LogPublisher(logs.observer(destination, "info", False))
    Logger(namespace="log_legacy", observer=publisher).info("factory starting")
    Logger(namespace="log_legacy", observer=publisher).error("factory broken")
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert line.endswith("error twisted factory broken")
