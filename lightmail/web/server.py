"""The HTTP listener: the API on a bounded site."""

from __future__ import annotations

from typing import Any

from lightmail.web.api.application import make_resource
from lightmail.web.api.services import ApiServices
from lightmail.web.api.table import ENDPOINTS
from lightmail.web.http import bounded_site


def make_site(services: ApiServices, connections: int = 200) -> Any:
    """The factory of the HTTP listener, for so many connections at once."""
    return bounded_site(make_resource(ENDPOINTS, services), services.reactor, connections)
