"""What an IMAP server stands on: the constructor arguments of its factory, no behaviour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twisted.internet.interfaces import IOpenSSLServerConnectionCreator

    from lightmail.auth.login import Authenticator
    from lightmail.config import ImapConfig, LimitsConfig
    from lightmail.index.registry import Indexes
    from lightmail.index.rendered import RenderedCache
    from lightmail.notify.hints import Notifier
    from lightmail.objects.blobs import Blobs
    from lightmail.objects.spool import Spools
    from lightmail.operations.transactions import Transactions
    from lightmail.scanning import Scanner
    from lightmail.store.database import Database


@dataclass(frozen=True, slots=True)
class ImapServices:
    """``tls`` makes the server's side of STARTTLS; without it STARTTLS is not offered."""

    config: ImapConfig
    limits: LimitsConfig
    authenticator: Authenticator
    database: Database
    transactions: Transactions
    blobs: Blobs
    spools: Spools
    scanner: Scanner
    indexes: Indexes
    rendered: RenderedCache
    notifier: Notifier
    tls: IOpenSSLServerConnectionCreator | None = None
