"""The configuration: dataclasses (`sections`), how values are written (`values`), where they come from (`loader`)."""

from lightmail.config.sections import (
    ApiConfig,
    Config,
    DatabaseConfig,
    ImapConfig,
    LimitsConfig,
    LmtpConfig,
    LoggingConfig,
    Pop3Config,
    S3Config,
    StorageConfig,
    SystemConfig,
    TlsConfig,
)
from lightmail.config.values import Network

__all__ = [
    "ApiConfig",
    "Config",
    "DatabaseConfig",
    "ImapConfig",
    "LimitsConfig",
    "LmtpConfig",
    "LoggingConfig",
    "Network",
    "Pop3Config",
    "S3Config",
    "StorageConfig",
    "SystemConfig",
    "TlsConfig",
]
