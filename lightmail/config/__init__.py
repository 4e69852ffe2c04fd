"""The configuration: dataclasses (`sections`), how values are written (`values`), where they come from (`loader`)."""

from lightmail.config.checks import check_host
from lightmail.config.loader import DEFAULT_PATH, load, shown
from lightmail.config.sections import (
    ApiConfig,
    ClamavConfig,
    Config,
    DatabaseConfig,
    GarbageConfig,
    ImapConfig,
    JournalConfig,
    LimitsConfig,
    LmtpConfig,
    LoggingConfig,
    MetricsConfig,
    Pop3Config,
    S3Config,
    StorageConfig,
    SystemConfig,
    TlsConfig,
    WebhookConfig,
)
from lightmail.config.values import Network

__all__ = [
    "DEFAULT_PATH",
    "ApiConfig",
    "ClamavConfig",
    "Config",
    "DatabaseConfig",
    "GarbageConfig",
    "ImapConfig",
    "JournalConfig",
    "LimitsConfig",
    "LmtpConfig",
    "LoggingConfig",
    "MetricsConfig",
    "Network",
    "Pop3Config",
    "S3Config",
    "StorageConfig",
    "SystemConfig",
    "TlsConfig",
    "WebhookConfig",
    "check_host",
    "load",
    "shown",
]
