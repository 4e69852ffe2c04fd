"""What an LMTP server needs of the rest: the factory's constructor arguments, no behaviour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lightmail.config import LimitsConfig, LmtpConfig
from lightmail.objects.blobs import Blobs
from lightmail.objects.spool import Spools
from lightmail.operations.transactions import Transactions
from lightmail.scanning import Scanner
from lightmail.store.database import Database


@dataclass(frozen=True, slots=True)
class LmtpServices:
    """Everything an LMTP session uses. ``hostname`` is the server's own name, for greeting and Received."""

    hostname: str
    config: LmtpConfig
    limits: LimitsConfig
    database: Database
    transactions: Transactions
    blobs: Blobs
    spools: Spools
    scanner: Scanner
    reactor: Any
