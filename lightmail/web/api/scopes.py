"""What a token may do: each endpoint needs one scope."""

from __future__ import annotations

from enum import Enum
from typing import Final


class Scope(Enum):
    """A permission of tokens, by the word that stands in configuration, requests and the document."""

    STATUS_READ = "status:read"
    ACCOUNTS_READ = "accounts:read"
    ACCOUNTS_WRITE = "accounts:write"
    MESSAGES_READ = "messages:read"
    MESSAGES_CONTENT = "messages:content"
    MESSAGES_WRITE = "messages:write"
    SESSIONS_READ = "sessions:read"
    SESSIONS_WRITE = "sessions:write"
    JOBS_READ = "jobs:read"
    JOBS_WRITE = "jobs:write"
    CALENDAR_READ = "calendar:read"
    CALENDAR_WRITE = "calendar:write"
    AUDIT_READ = "audit:read"
    LOGS_READ = "logs:read"
    TOKENS_WRITE = "tokens:write"
    WEBHOOKS_READ = "webhooks:read"
    WEBHOOKS_WRITE = "webhooks:write"


ALL_SCOPES: Final = frozenset(Scope)
