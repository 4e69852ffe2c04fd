"""The HTTP API in the test process: on any store, on a loopback port of its own, without the mail services."""

from __future__ import annotations

import http.client
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from twisted.internet import reactor as installed_reactor

from lightmail.app.ready import readiness as ready
from lightmail.auth.login import Authenticator
from lightmail.config import ApiConfig, Config, StorageConfig
from lightmail.objects.backends import open_store as open_objects
from lightmail.objects.blobs import Blobs
from lightmail.operations.jobs import Desk
from lightmail.operations.tokens import add_token
from lightmail.store import credentials
from lightmail.threads import BoundedPool
from lightmail.web.api.application import make_resource
from lightmail.web.api.endpoints import Endpoint
from lightmail.web.api.figures import Figures
from lightmail.web.api.scopes import ALL_SCOPES, Scope
from lightmail.web.api.services import ApiServices
from lightmail.web.api.table import ENDPOINTS
from lightmail.web.http import BoundedSite
from lightmail.web.readiness import Readiness
from lightmail.web.server import make_site
from lightmail.webhooks import Receiver
from tests.support.actors import OPERATOR
from tests.support.reactor import call, run
from tests.support.storekit import Store

reactor: Any = installed_reactor

TOKEN = "sesame"


@dataclass(frozen=True)
class Answer:
    """What a request was answered."""

    status: int
    headers: Mapping[str, str]
    octets: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.octets)

    @property
    def code(self) -> str:
        """The code of a problem."""
        assert self.headers["content-type"] == "application/problem+json"
        problem = self.json
        assert problem["status"] == self.status
        assert problem["request_id"] == self.headers["x-request-id"]
        return str(problem["code"])


@dataclass
class Api:
    """A running API. `token` is the one of the configuration, which may do all."""

    services: ApiServices
    store: Store
    port: int = 0
    pools: list[BoundedPool] = field(default_factory=list)

    def get(self, path: str, query: Mapping[str, Any] | None = None, *, token: str | None = TOKEN) -> Answer:
        """What GET gives."""
        return self.request("GET", f"{path}?{urlencode(query)}" if query else path, token=token)

    def post(self, path: str, body: Any = None, *, token: str | None = TOKEN) -> Answer:
        """What POST with a JSON body gives."""
        return self.request("POST", path, body, token=token)

    def put(self, path: str, body: Any, *, token: str | None = TOKEN) -> Answer:
        """What PUT with a JSON body gives."""
        return self.request("PUT", path, body, token=token)

    def delete(self, path: str, *, token: str | None = TOKEN) -> Answer:
        """What DELETE gives."""
        return self.request("DELETE", path, token=token)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = TOKEN,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """What one request on a connection of its own gives; a body of bytes goes as it is, all else as JSON."""
        fields = {} if token is None else {"Authorization": f"Bearer {token}"}
        if body is not None and not isinstance(body, bytes):
            fields["Content-Type"] = "application/json"
            body = json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, {**fields, **(headers or {})})
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def token(self, *scopes: Scope, domain: int | None = None, expires_us: int = 0) -> str:
        """The secret of a new token with these scopes, all where none are given."""
        words = [scope.value for scope in scopes or ALL_SCOPES]
        name = f"t{os.urandom(6).hex()}"
        return run(add_token(self.store.tx, OPERATOR, name, words, domain=domain, expires_us=expires_us))[1]


@contextmanager
def serve_api(
    store: Store,
    *,
    endpoints: Sequence[Endpoint] = ENDPOINTS,
    connections: int = 200,
    readiness: Readiness | None = None,
    pages: bool = False,
    **changes: Any,
) -> Iterator[Api]:
    """The API on a store, with the web's pages if `pages`; `changes` are fields of `Config`.

    Its objects are in memory where `storage` says nothing else. It is ready where the stores answer, or as `readiness`
    has it.
    """
    config = Config(**{"storage": StorageConfig(driver="memory"), "api": ApiConfig(token=TOKEN), **changes})
    api = Api(_services(store, config, readiness), store)
    api.pools = [api.services.pool, api.services.hashing]
    for pool in api.pools:
        call(pool.start)
    if pages:
        site = call(make_site, api.services, connections)
    else:
        site = BoundedSite(call(make_resource, endpoints, api.services), reactor, connections)
    listener = call(reactor.listenTCP, 0, site, 50, "127.0.0.1")
    api.port = listener.getHost().port
    try:
        yield api
    finally:
        run(api.services.receiver.close())
        run(_stop(listener, api.pools))


def _services(store: Store, config: Config, readiness: Readiness | None) -> ApiServices:
    objects = open_objects(config.storage, config.s3)
    pool, hashing = (BoundedPool(name, 4, 100, reactor=reactor) for name in ("objects", "passwords"))

    return ApiServices(
        configuration=lambda: config,
        database=store.database,
        transactions=store.tx,
        objects=objects,
        pool=pool,
        hashing=hashing,
        blobs=Blobs(objects, pool),
        authenticator=Authenticator(
            lambda address, secret: store.database.read("login", credentials.find_txn, address, secret),
            hashing,
            reactor=reactor,
        ),
        readiness=readiness or ready(store.database, objects, pool, reactor),
        figures=Figures(store.database, reactor),
        desk=Desk(os.urandom(16)),
        receiver=Receiver(config.webhook, reactor),
        started_us=time.time_ns() // 1000,
        reactor=reactor,
    )


async def _stop(listener: Any, pools: Sequence[BoundedPool]) -> None:
    await listener.stopListening()
    for pool in pools:
        await pool.stop()
