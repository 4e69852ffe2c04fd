"""The HTTP listener's factory: the API over the server's backends."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from lightmail.app.backends import Backends
from lightmail.config import Config
from lightmail.web.api.figures import Figures
from lightmail.web.api.services import ApiServices
from lightmail.web.server import make_metrics_site, make_site


def http_factories(
    config: Config, backends: Backends, configuration: Callable[[], Config], reactor: Any
) -> dict[str, Any]:
    """The factories of the HTTP listeners that are configured: ``[api]``, ``[metrics]``.

    `configuration` gives the configuration in force; `config` is the one that the listeners began with.
    """
    services = ApiServices(
        configuration=configuration,
        database=backends.database,
        transactions=backends.transactions,
        objects=backends.objects,
        pool=backends.pool,
        hashing=backends.hashing,
        blobs=backends.blobs,
        authenticator=backends.authenticator,
        readiness=backends.readiness,
        figures=Figures(backends.database, reactor),
        desk=backends.desk,
        receiver=backends.receiver,
        started_us=time.time_ns() // 1000,
        reactor=reactor,
    )
    factories = {}
    if config.api is not None:
        factories["api"] = make_site(services)
    if config.metrics.port:
        factories["metrics"] = make_metrics_site(services)
    return factories
