"""All endpoints: the families' tables, one after the other, and the document that describes them."""

from __future__ import annotations

from typing import Final

from lightmail.web.api import (
    accounts,
    aliases,
    app_passwords,
    audit,
    calendar,
    discovery,
    domains,
    jobs,
    logs,
    mailboxes,
    messages,
    openapi,
    server,
    sessions,
    status,
    token_endpoints,
    webhooks,
)
from lightmail.web.api.endpoints import Endpoint

_FAMILIES: Final[tuple[Endpoint, ...]] = (
    *status.ENDPOINTS,
    *server.ENDPOINTS,
    *token_endpoints.ENDPOINTS,
    *domains.ENDPOINTS,
    *accounts.ENDPOINTS,
    *aliases.ENDPOINTS,
    *app_passwords.ENDPOINTS,
    *mailboxes.ENDPOINTS,
    *messages.ENDPOINTS,
    *sessions.ENDPOINTS,
    *jobs.ENDPOINTS,
    *calendar.ENDPOINTS,
    *webhooks.ENDPOINTS,
    *audit.ENDPOINTS,
    *logs.ENDPOINTS,
    *discovery.ENDPOINTS,
)
ENDPOINTS: Final = (*_FAMILIES, openapi.endpoint(_FAMILIES))
