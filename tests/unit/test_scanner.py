"""What the scan of a message means for it: verdicts, the field that tells them, and what becomes of it without one."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.policy import SMTP
from typing import Any, BinaryIO, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet import reactor

from lightmail.config import ClamavConfig
from lightmail.errors import SpoolFull, Unavailable
from lightmail.model import Virus
from lightmail.objects.spool import Spool
from lightmail.scanning import Scanner, Verdict
from tests.support.reactor import run
from tests.support.scriptedclamd import answering, daemon


class Message:
    """A spool, as far as a scan needs one; without octets it cannot be read."""

    def __init__(self, octets: bytes | None = b"Subject: x\r\n\r\n") -> None:
        self._octets = octets
        self.octets = len(octets or b"")
        self.opened: list[io.BytesIO] = []

    def open(self) -> BinaryIO:
        if self._octets is None:
            raise SpoolFull
        self.opened.append(io.BytesIO(self._octets))
        return self.opened[-1]


@contextmanager
def scanner(config: ClamavConfig) -> Iterator[Scanner]:
    made = Scanner(config, reactor=reactor)
    run(made.start())
    try:
        yield made
    finally:
        run(made.stop())


def verdict(config: ClamavConfig, message: Message | None = None) -> Verdict | None:
    with scanner(config) as scanning:
        return run(scanning.delivered(cast(Spool, message or Message())))


def on(address: str, **more: Any) -> ClamavConfig:
    return ClamavConfig(enabled=True, address=address, timeout_ms=5000, **more)


def test_what_was_found_and_what_is_done_about_it() -> None:
    with daemon(answering(b"stream: Eicar FOUND\0")) as address:
        for action in ("withhold", "junk", "reject"):
            assert verdict(on(address, infected=action)) == Verdict("Infected (Eicar)", Virus("Eicar", action))
    with daemon(answering(b"stream: OK\0")) as address:
        assert verdict(on(address)) == Verdict("Clean")


@given(said=st.binary(max_size=300).filter(lambda said: b"\0" not in said))
@settings(max_examples=60, deadline=None)
def test_whatever_a_daemon_says_it_found_is_one_line_of_the_header(said: bytes) -> None:
    with daemon(answering(b"stream: " + said + b" FOUND\0")) as address:
        found = verdict(on(address))
    assert found is not None
    assert found.virus is not None
    assert re.fullmatch(rb"X-Virus-Status: Infected \([ -~]*\)\r\n", found.field)
    assert len(found.field) < 150
    parsed = message_from_bytes(found.field + b"Subject: x\r\n\r\nbody\r\n", policy=SMTP)
    assert list(parsed.keys()) == ["X-Virus-Status", "Subject"]


@pytest.mark.parametrize("answer", [b"stream: ? ERROR\0", b"nonsense\0", b""])
def test_without_a_verdict_it_waits_or_goes_on(answer: bytes) -> None:
    with daemon(answering(answer)) as address:
        with pytest.raises(Unavailable):
            verdict(on(address))
        found = verdict(on(address, unavailable="deliver"))
    assert found == Verdict("Not scanned (the scanner is not available)")


def test_while_too_many_wait_it_is_as_without_a_scanner() -> None:
    """A pool that does not take calls in, be it full, refuses as one that was stopped."""
    idle = Scanner(on("127.0.0.1:1"), reactor=reactor)
    with pytest.raises(Unavailable):
        run(idle.delivered(cast(Spool, Message())))
    idle.configure(on("127.0.0.1:1", unavailable="deliver"))
    found = run(idle.delivered(cast(Spool, Message())))
    assert found == Verdict("Not scanned (the scanner is not available)")


def test_a_message_that_was_lost_on_its_way_to_the_disk_is_no_clean_one() -> None:
    for unavailable in ("defer", "deliver"):
        with pytest.raises(SpoolFull):
            verdict(on("127.0.0.1:1", unavailable=unavailable), Message(None))


def test_the_message_is_closed_whatever_the_daemon_does() -> None:
    for answer in (b"stream: OK\0", b"stream: X FOUND\0", b""):
        message = Message()
        with daemon(answering(answer)) as address:
            verdict(on(address, unavailable="deliver"), message)
        assert [each.closed for each in message.opened] == [True]


def test_what_is_too_large_is_not_even_opened() -> None:
    message = Message(b"x" * 101)
    assert verdict(on("127.0.0.1:1", max_octets=100), message) == Verdict("Not scanned (too large for the scanner)")
    assert message.opened == []


def test_off_means_off() -> None:
    with scanner(ClamavConfig(address="127.0.0.1:1")) as scanning:
        message = cast(Spool, Message())
        assert run(scanning.delivered(message)) is None
        assert run(scanning.appended(message)) is None
        scanning.configure(on("127.0.0.1:1", append=False, unavailable="deliver"))
        assert run(scanning.appended(message)) is None
        assert run(scanning.delivered(message)) is not None
