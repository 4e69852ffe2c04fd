"""The HTTP listeners: API and pages on a bounded site, and one for the metrics alone where that is configured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.web.resource import Resource

from lightmail.peers import is_in, is_loopback
from lightmail.web.api import status
from lightmail.web.api.application import make_resource
from lightmail.web.api.services import ApiServices
from lightmail.web.api.table import ENDPOINTS
from lightmail.web.http import BoundedRequest, BoundedSite
from lightmail.web.pages import application as pages
from lightmail.web.pages import table
from lightmail.web.pages.doorkeeper import Doorkeeper

# Prometheus asks from one or two places, with one connection each.
_SCRAPERS: Final = 20


class _Root(Resource):
    """Sends requests to the pages, which are `/` and what is below `/web/`, or to the API."""

    isLeaf = True

    def __init__(self, api: Any, web: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._api = api
        self._web = web

    def render(self, request: BoundedRequest) -> Any:
        """Have one of the two answer."""
        is_page = request.path == b"/" or request.path.startswith(b"/web/")
        return (self._web if is_page and request.path.isascii() else self._api).render(request)


def make_site(services: ApiServices, connections: int = 200) -> Any:
    """The factory of the listener of ``[api]``, for so many connections at once.

    The metrics are on it unless they have a listener of their own.
    """
    apart = status.METRICS if services.config.metrics.port else ()
    endpoints = [endpoint for endpoint in ENDPOINTS if endpoint not in apart]
    doorkeeper = Doorkeeper(
        services.transactions,
        services.authenticator,
        services.hashing,
        reactor=services.reactor,
        trusted_networks=lambda: services.config.limits.trusted_networks,
    )
    web = pages.make_resource(table.VIEWS, table.menu, services, doorkeeper)
    root = _Root(make_resource(endpoints, services), web)
    return BoundedSite(root, services.reactor, connections, _exempt(services))


def make_metrics_site(services: ApiServices) -> Any:
    """The factory of the listener of ``[metrics]``: /metrics and nothing else."""
    return BoundedSite(make_resource(status.METRICS, services), services.reactor, _SCRAPERS, _exempt(services))


def _exempt(services: ApiServices) -> Callable[[str], bool]:
    """Whether an address may have all connections: this host's, and that of a proxy that all clients come from."""
    return lambda address: is_loopback(address) or is_in(address, services.config.limits.trusted_networks)
