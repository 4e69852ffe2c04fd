"""Many connections that guess passwords, each as soon as the last answer has come."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

HOST = "127.0.0.1"


@dataclass
class Flood:
    """Guessers at an IMAP port, from `sources` (addresses of this host), and what they were answered."""

    port: int
    sources: list[str]
    name: Callable[[int], str]
    connections: int = 50
    answers: Counter[str] = field(default_factory=Counter)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Guess until `stopped` is set."""
        guesses = itertools.count()
        tasks = [
            asyncio.create_task(self._guess(self.sources[number % len(self.sources)], guesses))
            for number in range(self.connections)
        ]
        await self.stopped.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _guess(self, source: str, guesses: itertools.count[int]) -> None:
        while not self.stopped.is_set():
            with suppress(OSError, EOFError):
                await self._connection(source, guesses)
            await asyncio.sleep(0.01)

    async def _connection(self, source: str, guesses: itertools.count[int]) -> None:
        reader, writer = await asyncio.open_connection(HOST, self.port, local_addr=(source, 0))
        try:
            await reader.readline()
            for number in guesses:
                writer.write(f"g LOGIN {self.name(number)} guess{number}\r\n".encode())
                while not (line := await reader.readline()).startswith(b"g "):
                    if not line:
                        self.answers["closed"] += 1
                        return
                self.answers[" ".join(line.decode().split()[1:3])] += 1
        finally:
            writer.close()


async def honest_logins(port: int, name: str, count: int, pause: float) -> list[float]:
    """Seconds that each login with the right password took, from the connection on; AssertionError where one failed."""
    took = []
    for _ in range(count):
        await asyncio.sleep(pause)
        started = time.monotonic()
        reader, writer = await asyncio.open_connection(HOST, port)
        await reader.readline()
        writer.write(f"h LOGIN {name} secret\r\nq LOGOUT\r\n".encode())
        answer = await reader.readline()
        took.append(time.monotonic() - started)
        assert answer.startswith(b"h OK"), answer
        writer.close()
    return took


def under_attack(flood: Flood, name: str, seconds: float, count: int = 6, lead: float = 0.3) -> list[float]:
    """Honest logins during `seconds` of a flood that began `lead` seconds before."""

    async def both() -> list[float]:
        guessing = asyncio.create_task(flood.run())
        try:
            await asyncio.sleep(lead)
            return await honest_logins(flood.port, name, count, seconds / count)
        finally:
            flood.stopped.set()
            await guessing

    return asyncio.run(both())
