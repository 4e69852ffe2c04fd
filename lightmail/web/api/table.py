"""All endpoints: the families' tables, one after the other, and the document that describes them."""

from __future__ import annotations

from typing import Final

from lightmail.web.api import audit, discovery, jobs, mailboxes, messages, openapi, status, token_endpoints
from lightmail.web.api.endpoints import Endpoint

_FAMILIES: Final[tuple[Endpoint, ...]] = (
    *status.ENDPOINTS,
    *token_endpoints.ENDPOINTS,
    *mailboxes.ENDPOINTS,
    *messages.ENDPOINTS,
    *jobs.ENDPOINTS,
    *audit.ENDPOINTS,
    *discovery.ENDPOINTS,
)
ENDPOINTS: Final = (*_FAMILIES, openapi.endpoint(_FAMILIES))
