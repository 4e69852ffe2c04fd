"""An import takes messages in at no less than the rate of LMTP, into the same stores; a second run takes none twice.

LMTP delivers before the import and after it, on 20 connections, so that what else the machine does falls on both.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.messages import message
from bench.wire import Lmtp, stuff
from tests.integration.servers import HOST
from tests.support.stack import MARIADB_S3, STACKS, Stack, open_stack

pytestmark = pytest.mark.heavy

MESSAGES = 10_000
OCTETS = 10_240
DELIVERIES = 2_000
CONNECTIONS = 20
OWNER = "ada@example.org"
# OWNER is the first account.
OWNED = "SELECT COUNT(*) FROM messages WHERE account = 1"
OTHERS = [f"user{number}@example.org" for number in range(CONNECTIONS)]


@pytest.fixture(params=STACKS)
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    s3 = request.getfixturevalue("s3_server") if request.param == MARIADB_S3 else None
    with open_stack(request.param, s3, users=[OWNER, *OTHERS], sections={"logging": {"level": "warn"}}) as stack:
        stack.server.start()
        yield stack
        assert stack.server.stop() == 0


def maildir(path: Path) -> None:
    """Make a Maildir of so many messages, as another server leaves it."""
    for name in ("cur", "new", "tmp"):
        (path / name).mkdir(parents=True)
    for number in range(MESSAGES):
        file = path / "cur" / f"{1_700_000_000 + number}.M{number}.old:2,S"
        file.write_bytes(message(0, number, OCTETS).replace(b"\r\n", b"\n"))


async def deliver(port: int, seed: int) -> None:
    """Deliver so many messages, each to one of the other accounts."""
    mail = [stuff(message(seed, number, OCTETS)) for number in range(DELIVERIES)]

    async def connection(first: int) -> None:
        session = await Lmtp.open((HOST, port))
        for number in range(first, DELIVERIES, CONNECTIONS):
            await session.deliver([OTHERS[first]], mail[number])
        await session.quit()

    await asyncio.gather(*(connection(first) for first in range(CONNECTIONS)))


def test_an_import_is_no_slower_than_lmtp_and_brings_nothing_twice(stack: Stack, tmp_path: Path) -> None:
    server = stack.server
    maildir(tmp_path / "Maildir")
    verb = ("import", "maildir", OWNER, str(tmp_path / "Maildir"), "--json")
    began = time.monotonic()
    asyncio.run(deliver(server.lmtp, 1))
    delivering = time.monotonic() - began
    began = time.monotonic()
    brought = json.loads(server.cli(*verb).stdout)
    importing = time.monotonic() - began
    began = time.monotonic()
    asyncio.run(deliver(server.lmtp, 2))
    delivering += time.monotonic() - began
    rates = MESSAGES / importing, 2 * DELIVERIES / delivering
    print(f"\nimport {rates[0]:.0f} messages/s, LMTP {rates[1]:.0f} messages/s")
    assert brought["brought"] == MESSAGES
    again = json.loads(server.cli(*verb).stdout)
    assert (again["brought"], again["known"]) == (0, MESSAGES)
    assert int(stack.select(OWNED)[0][0]) == MESSAGES
    assert rates[0] >= rates[1]
