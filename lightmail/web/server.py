"""The HTTP listeners: the API on a bounded site, and one for the metrics alone where that is configured."""

from __future__ import annotations

from typing import Any, Final

from lightmail.web.api import status
from lightmail.web.api.application import make_resource
from lightmail.web.api.services import ApiServices
from lightmail.web.api.table import ENDPOINTS
from lightmail.web.http import bounded_site

# Prometheus asks from one or two places, with one connection each.
_SCRAPERS: Final = 20


def make_site(services: ApiServices, connections: int = 200) -> Any:
    """The factory of the listener of ``[api]``, for so many connections at once.

    The metrics are on it unless they have a listener of their own.
    """
    apart = status.METRICS if services.config.metrics is not None else ()
    endpoints = [endpoint for endpoint in ENDPOINTS if endpoint not in apart]
    return bounded_site(make_resource(endpoints, services), services.reactor, connections)


def make_metrics_site(services: ApiServices) -> Any:
    """The factory of the listener of ``[metrics]``: /metrics and nothing else."""
    return bounded_site(make_resource(status.METRICS, services), services.reactor, _SCRAPERS)
