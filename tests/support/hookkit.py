"""A webhook's receiver in the test process: it notes what it is told, and answers as it is asked to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Factory, Protocol
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from lightmail.config import WebhookConfig
from lightmail.jobs.webhooks import Webhooks
from lightmail.mime.fields import Fields
from lightmail.model import StoredBlob
from lightmail.operations.events import Events
from lightmail.store.webhooks import Queued, list_txn
from lightmail.webhooks import Receiver
from lightmail.webhooks.signing import new_secret
from tests.support.reactor import call, run
from tests.support.storekit import Store, blob

reactor: Any = installed_reactor


@dataclass(frozen=True)
class Told:
    """One request, its signature found to be right."""

    id: str
    event: dict[str, Any]
    headers: dict[str, str]
    connection: int


@dataclass
class Ear:
    """What a receiver heard. `answer` makes the status of each request; None leaves it without an answer."""

    secret: str
    answer: Callable[[Told], int | None] = lambda told: 204
    headers: dict[str, str] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)
    port: int = 0
    scheme: str = "http"

    @property
    def events(self) -> list[dict[str, Any]]:
        return [each.event for each in self.told]

    def config(self, **changes: Any) -> WebhookConfig:
        """The configuration that leads here."""
        url = f"{self.scheme}://localhost:{self.port}/hook"
        given = {"enabled": True, "url": url, "secret": self.secret, "allow_private": True, "timeout_ms": 5000}
        return WebhookConfig(**{**given, **changes})

    def wait(self, count: int, seconds: float = 20) -> None:
        """Wait until so many requests have come."""
        until = time.monotonic() + seconds
        while len(self.told) < count:
            assert time.monotonic() < until, f"{len(self.told)} of {count} requests came"
            time.sleep(0.01)


def verified(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """Whether a request is signed with the secret as Standard Webhooks wants it, written without our own code."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    fresh = abs(time.time() - int(headers["webhook-timestamp"])) < 300
    return fresh and any(hmac.compare_digest(wanted, each) for each in headers["webhook-signature"].split())


def letter(octets: int = 1000, header: bytes = b"Subject: x\r\n\r\n") -> StoredBlob:
    """A blob whose header can be read."""
    made = blob(octets, header)
    return replace(made, rendering=replace(made.rendering, header_fields=Fields(header).pack()))


class _Hook(Resource):
    isLeaf = True

    def __init__(self, ear: Ear) -> None:
        super().__init__()
        self._ear = ear

    def render_POST(self, request: Any) -> Any:
        headers = {
            name.decode().lower(): values[-1].decode() for name, values in request.requestHeaders.getAllRawHeaders()
        }
        body = request.content.read()
        assert verified(self._ear.secret, headers, body)
        told = Told(headers["webhook-id"], json.loads(body), headers, id(request.channel))
        self._ear.told.append(told)
        status = self._ear.answer(told)
        if status is None:
            request.notifyFinish().addErrback(lambda _: None)
            return NOT_DONE_YET
        request.setResponseCode(status)
        for name, value in self._ear.headers.items():
            request.setHeader(name, value)
        return b"" if status == 204 else b"thank you"


@contextmanager
def receiver(context: Any = None, **changes: Any) -> Iterator[Ear]:
    """A receiver on a loopback port of its own; with `context`, over TLS."""
    ear = Ear(new_secret(), **changes)
    site = Site(_Hook(ear), reactor=reactor)  # type: ignore[arg-type]
    site.noisy = False
    if context is None:
        listener = call(reactor.listenTCP, 0, site, 50, "127.0.0.1")
    else:
        ear.scheme = "https"
        listener = call(reactor.listenSSL, 0, site, context, 50, "127.0.0.1")
    ear.port = listener.getHost().port
    try:
        yield ear
    finally:
        run(_stopped(listener))


@contextmanager
def saying(octets: bytes, *, then_close: bool = False) -> Iterator[tuple[Ear, list[Protocol]]]:
    """A port whose answer to any request are these octets, and again those whenever it is read; its connections."""
    connections: list[Protocol] = []

    class Says(Protocol):
        def connectionMade(self) -> None:
            connections.append(self)

        def dataReceived(self, data: bytes) -> None:
            self.transport.write(octets)  # type: ignore[union-attr]
            if then_close:
                self.transport.loseConnection()  # type: ignore[union-attr]

        def connectionLost(self, reason: Any = None) -> None:
            self.connected = 0

    listener = call(reactor.listenTCP, 0, Factory.forProtocol(Says), 50, "127.0.0.1")
    try:
        yield Ear(new_secret(), port=listener.getHost().port), connections
    finally:
        run(_stopped(listener))


async def _stopped(listener: Any) -> None:
    await listener.stopListening()


class Names:
    """A resolver of names that has these answers, one after the other, the last one for ever; and its questions."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    def resolveHostName(self, receiver: Any, name: str, portNumber: int = 0, **_: Any) -> None:
        self.asked.append(name)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        receiver.resolutionBegan(None)
        for address in answer:
            receiver.addressResolved(IPv4Address("TCP", address, portNumber))
        receiver.resolutionComplete()


def queued(store: Store) -> list[Queued]:
    """The rows of the queue, the oldest first."""
    return run(store.database.read("test", list_txn, 0, 1000))


@contextmanager
def telling(store: Store, ear: Ear, **changes: Any) -> Iterator[Webhooks]:
    """A process that tells; it does not go round by itself."""
    there = call(Receiver, ear.config(**changes), reactor)
    made = call(lambda: Webhooks(store.database, Events(), there, reactor=reactor))
    try:
        yield made
    finally:
        run(there.close())
