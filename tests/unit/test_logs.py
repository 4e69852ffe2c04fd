"""Log records: one line or one JSON object each, whatever an event holds."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import Logger, LogPublisher, formatEvent
from twisted.python.failure import Failure

from lightmail import logs

ROOT = Path(__file__).parents[2]


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


def test_whatever_would_change_a_line_is_escaped():
    for code in range(sys.maxunicode + 1):
        if code < 32 or 127 <= code < 160 or code in {0x2028, 0x2029, 0x200E, 0x200F, 0x61C, *range(0x202A, 0x202F)}:
            assert logs.one_line(f"a{chr(code)}b") == f"a\\x{code:02x}b"
    for text in ("plain", "größer \u00a0\u3000 x", "\ud800", "\ue000\U0001f600"):
        assert logs.one_line(text) == text


@given(st.floats(0, 4e9, allow_nan=False))
def test_moments_are_those_of_the_calendar(moment):
    said = datetime.fromisoformat(logs.format_text({"log_time": moment}).split()[0])
    assert abs(said.timestamp() - moment) <= 0.001001
    assert said.utcoffset() == timedelta(0)


class Asked:
    """Something that can be looked into, and called."""

    name = "ada"

    def __call__(self):
        return "called"

    def __repr__(self):
        return "<asked>"


@pytest.mark.parametrize(
    "form",
    [
        "plain",
        "{asked}",
        "{asked!r} of {asked.name}",
        "{asked()} (and more)",
        "{number:>4} {number!s}",
        "{missing} is not there",
        "{asked.missing}",
        "{{escaped}} {number}",
        "{number:%q}",
        "{",
        "nothing() is called",
    ],
)
def test_a_message_is_what_twisted_makes_of_it(form):
    event = {"log_time": 0.0, "log_format": form, "asked": Asked(), "number": 7}
    assert logs.format_text(event)[25:] == f"info  twisted {formatEvent(event)}\n"


class Mute:
    def __str__(self):
        raise RuntimeError


@pytest.mark.parametrize("as_json", [False, True])
def test_what_cannot_be_said_is_a_record_too(tmp_path, destination, as_json):
    log = logger(destination, "info", as_json)
    log.info("x", trace=Mute(), session="s")
    log.info("it goes on")
    first, second = (tmp_path / "log").read_text().splitlines()
    assert "what was to be said here cannot be: RuntimeError" in first
    assert "it goes on" in second


def test_threads_do_not_mix_their_records(tmp_path, destination):
    records = [f"{name * 200}\n" for name in "abcd"]

    def write(record):
        for _ in range(200):
            destination.write(record)

    threads = [threading.Thread(target=write, args=(record,)) for record in records]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = (tmp_path / "log").read_text().splitlines(keepends=True)
    assert sorted(lines) == sorted(record for record in records for _ in range(200))


def test_a_record_that_was_written_survives_the_process(tmp_path):
    path = tmp_path / "log"
    script = (
        "import os, signal\nfrom lightmail import logs\n"
        f"logs.Destination({str(path)!r}).write('said\\n')\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", script], check=False, cwd=ROOT)
    assert path.read_text() == "said\n"


def test_a_full_disk_costs_the_record_only():
    destination = logs.Destination("/dev/full")
    destination.write("x\n")
    destination.close()
    destination.write("closed\n")


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
