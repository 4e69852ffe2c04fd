"""All endpoints: the families' tables, one after the other."""

from __future__ import annotations

from typing import Final

from lightmail.web.api import discovery, status
from lightmail.web.api.endpoints import Endpoint

ENDPOINTS: Final[tuple[Endpoint, ...]] = (*status.ENDPOINTS, *discovery.ENDPOINTS)
