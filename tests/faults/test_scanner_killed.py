"""The virus scanner is killed again and again under load: every message comes once, and none is called clean unread."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support import clamd as clamds
from tests.support.clamd import MARKED, Clamd
from tests.support.infected import letter
from tests.support.lmtpclient import LmtpClient
from tests.support.mailroom import Mailroom
from tests.support.verifying import assert_clean

MESSAGES = 600
INFECTED = 3  # one in so many
PATIENCE_SECONDS = 60


def deliver(room: Mailroom, number: int) -> None:
    """Come again until the message is taken, as Postfix does."""
    text = MARKED.decode() if number % INFECTED == 0 else "x" * (number * 37 % 5000)
    message = letter(f"m{number}", text)
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        with LmtpClient("127.0.0.1", room.lmtp_port) as client:
            (reply,) = client.deliver("sender@example.com", ["ann@example.org"], message)
        if reply.startswith(b"250 "):
            return
        assert reply == b"451 4.3.0 Temporarily unavailable, try again later."
        assert time.monotonic() < until
        time.sleep(0.05)


def kill(daemon: Clamd, over: threading.Event) -> None:
    while not over.is_set():
        time.sleep(random.random() * 0.3)
        daemon.stop()
        time.sleep(random.random() * 0.1)
        daemon.start()


@pytest.mark.heavy
@pytest.mark.parametrize("by", ["path", "address"])
def test_a_scanner_that_is_killed_again_and_again(tmp_path: Path, by: str) -> None:
    with clamds.running() as daemon:
        room = Mailroom(tmp_path, clamav=daemon.config(address=getattr(daemon, by), timeout_ms=2000)).open()
        over = threading.Event()
        killing = threading.Thread(target=kill, args=(daemon, over))
        try:
            room.add_account("ann@example.org", "secret")
            killing.start()
            with ThreadPoolExecutor(30) as pool:
                list(pool.map(lambda number: deliver(room, number), range(MESSAGES)))
            found = room.mail("ann@example.org")
            assert len(found) == MESSAGES - MESSAGES // INFECTED
            assert all(b"\r\nX-Virus-Status: Clean\r\nFrom: " in each for each in found)
            assert not [each for each in found if MARKED in each]
            assert room.spooled_octets() == 0
            assert_clean(room.transactions, room.store)
        finally:
            over.set()
            killing.join(30)
            room.close()
