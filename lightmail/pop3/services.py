"""What a POP3 server stands on: the constructor arguments of its factory, no behaviour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lightmail.auth.login import Authenticator
from lightmail.config import LimitsConfig, Pop3Config
from lightmail.index.registry import Indexes
from lightmail.objects.blobs import Blobs
from lightmail.operations.transactions import Transactions
from lightmail.store.database import Database


@dataclass(frozen=True, slots=True)
class Pop3Services:
    """``tls`` makes the server's side of STLS; without it STLS is not offered."""

    config: Pop3Config
    limits: LimitsConfig
    authenticator: Authenticator
    database: Database
    transactions: Transactions
    blobs: Blobs
    indexes: Indexes
    reactor: Any
    tls: Any = None
