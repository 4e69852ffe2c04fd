"""A store of objects that fails when it is told to, and a client that is logged in and appends to INBOX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import BinaryIO

from lightmail.config import StorageConfig
from lightmail.errors import Unavailable
from lightmail.objects.backends import ObjectStore, open_store
from tests.support.imapworld import ImapWorld
from tests.support.transcript import Connection


class TroubledStore:
    """A memory store that can be told to fail: reads of some keys, or reads beyond an offset."""

    def __init__(self) -> None:
        self._store: ObjectStore = open_store(StorageConfig(driver="memory"), None)
        self.remote = False
        self.down: set[str] = set()
        self.breaks_at: int | None = None
        self.reads = 0

    def put(self, key: str, body: bytes | BinaryIO) -> None:
        self._store.put(key, body)

    def read(self, key: str, start: int, stop: int) -> bytes:
        self.reads += 1
        if key in self.down or (self.breaks_at is not None and start >= self.breaks_at):
            raise Unavailable
        return self._store.read(key, start, stop)

    def size(self, key: str) -> int | None:
        return self._store.size(key)

    def delete(self, keys: Sequence[str]) -> None:
        self._store.delete(keys)

    def keys(self, prefix: str, after: str = "", limit: int = 1000) -> list[str]:
        return self._store.keys(prefix, after, limit)

    def check(self) -> None:
        self._store.check()


class Client:
    """A client that is logged in and has INBOX selected."""

    def __init__(self, world: ImapWorld) -> None:
        self.connection = Connection(world.port)
        self.connection.line()
        self._tags = 0
        self.command(b"LOGIN alice@example.org secret")

    def command(self, text: bytes) -> list[bytes]:
        """The response lines of a command, the tagged one last."""
        self.begin(text)
        return self.lines()

    def begin(self, text: bytes) -> None:
        self._tags += 1
        self.connection.send(b"t%d %b\r\n" % (self._tags, text))

    def lines(self) -> list[bytes]:
        lines = [self.connection.line()]
        while not lines[-1].startswith(b"t%d " % self._tags):
            lines.append(self.connection.line())
        return lines

    def append(self, message: bytes) -> None:
        self.begin(b"APPEND INBOX {%d+}" % len(message))
        self.connection.send(message + b"\r\n")
        assert b" OK " in self.lines()[-1]


def small(number: int) -> bytes:
    return b"Subject: %d\r\n\r\ntext of %d\r\n" % (number, number)


def fill(client: Client, store: TroubledStore, messages: Sequence[bytes]) -> list[str]:
    """Append the messages, and give the keys of their objects, in order: keys begin with their time of birth."""
    keys: list[str] = []
    for message in messages:
        client.append(message)
        (new,) = set(store.keys("emails")) - set(keys)
        keys.append(new)
    assert b"READ-WRITE" in client.command(b"SELECT INBOX")[-1]
    return keys
