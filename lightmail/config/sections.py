"""The sections of the configuration as frozen dataclasses; units stand in the attributes' names.

A field's default is the default of its key. A service runs when its section is present: its field in
:class:`Config` is None otherwise. Sizes are octets, times seconds; a limit of 0 means none only where its comment
says so.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from lightmail.config.values import (
    Network,
    address,
    amount,
    any_text,
    choice,
    clamd_address,
    endpoint,
    event_kinds,
    flag,
    integer,
    mode,
    names,
    networks,
    octets,
    optional_text,
    setting,
    signing_secrets,
    text,
    web_url,
)
from lightmail.model import EVENT_KINDS

_PORT = integer(0, 65535)
_COUNT = integer(1, 1_000_000)
_SECONDS = integer(1, 86_400)
_MIB = 1 << 20


def _spare_core() -> int:
    """One writer process where it has a core to run on beside the server's."""
    return 1 if len(os.sched_getaffinity(0)) > 1 else 0


@dataclass(frozen=True, slots=True)
class SystemConfig:
    """``[system]``: who the server is. ``owner`` and ``group`` are taken on once the ports are bound."""

    hostname: str = setting(socket.gethostname, text)
    owner: str | None = setting(None, optional_text)
    group: str | None = setting(None, optional_text)
    data_directory: str = setting("/var/lib/lightmail", text)


@dataclass(frozen=True, slots=True)
class DatabaseConfig:
    """``[database]``: where the rows are. An empty ``path`` means ``lightmail.sqlite`` in the data directory."""

    driver: str = setting("mysql", choice("sqlite", "mysql"))
    path: str = setting("", any_text)
    host: str = setting("127.0.0.1", text)
    port: int = setting(3306, integer(1, 65535))
    socket: str | None = setting(None, optional_text)
    user: str = setting("lightmail", text)
    password: str = setting("", any_text, secret=True)
    database: str = setting("maildb", text)
    pool_size: int = setting(10, integer(1, 1000))
    connect_timeout_seconds: int = setting(10, integer(1, 600), key="connect_timeout")
    tls: str = setting("auto", choice("auto", "required", "off"))


@dataclass(frozen=True, slots=True)
class StorageConfig:
    """``[storage]``: where the objects are, and how they are compressed.

    Empty paths mean ``objects``, ``cache`` and ``spool`` in the data directory. The disk cache serves S3 only;
    ``cache_octets`` of 0 turns it off. ``writer_processes`` write small messages; with 0, and in memory, the server's
    own threads do.
    """

    driver: str = setting("s3", choice("directory", "s3", "memory"))
    path: str = setting("", any_text)
    compression: str = setting("zstd", choice("zstd", "gzip", "lz4", "none"))
    level: int = setting(3, integer(1, 22))
    cache_directory: str = setting("", any_text)
    cache_octets: int = setting(1 << 30, octets(), key="cache_bytes")
    spool_directory: str = setting("", any_text)
    writer_processes: int = setting(_spare_core, integer(0, 2))


@dataclass(frozen=True, slots=True)
class S3Config:
    """``[s3]``: ``endpoint`` is host:port, or a URL whose scheme then wins over ``use_ssl``; empty means Amazon's.

    Without keys the credentials are those of the environment or of the machine's role. The prices, in ``currency``, are
    for the estimate on the web's overview alone: of a GiB kept for a month, of a thousand writes and listings, of a
    thousand reads, and of a GiB read.
    """

    endpoint: str = setting("", endpoint)
    region: str = setting("us-east-1", text)
    bucket: str = setting("", text)
    access_key: str = setting("", any_text)
    secret_key: str = setting("", any_text, secret=True)
    use_ssl: bool = setting(True, flag)
    prefix: str = setting("", any_text)
    currency: str = setting("USD", text, live=True)
    price_gib_month: float = setting(0.023, amount, live=True)
    price_1000_writes: float = setting(0.005, amount, live=True)
    price_1000_reads: float = setting(0.0004, amount, live=True)
    price_gib_read: float = setting(0.0, amount, live=True)


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """``[tls]``: PEM files, the certificate followed by its chain.

    ``directory`` has a directory for each further certificate, with ``fullchain.pem`` and ``privkey.pem`` as certbot
    names them; it is shown to clients that ask for a host that it names.
    """

    cert: str = setting("", text, live=True)
    key: str = setting("", text, live=True)
    directory: str = setting("", any_text, live=True)


@dataclass(frozen=True, slots=True)
class ImapConfig:
    r"""``[imap]``. ``special_use_names`` gives mailboxes that clients make a special use: ``Sent Items = \Sent``.

    ``deleted_tree`` shows what was expunged, mailbox by mailbox, below ``Deleted``; COPY from there restores.
    """

    bind: str = setting("0.0.0.0", address)
    port: int = setting(143, _PORT)
    ssl_port: int = setting(993, _PORT)
    tls_only: bool = setting(False, flag, live=True)
    max_connections: int = setting(10_000, _COUNT, live=True)
    session_timeout_seconds: int = setting(1800, _SECONDS, key="session_timeout", live=True)
    max_failed_attempts: int = setting(5, integer(1, 100), live=True)
    deleted_tree: bool = setting(False, flag, live=True)
    special_use_names: Mapping[str, str] = setting(lambda: MappingProxyType({}), names, live=True)


@dataclass(frozen=True, slots=True)
class Pop3Config:
    """``[pop3]``."""

    bind: str = setting("0.0.0.0", address)
    port: int = setting(110, _PORT)
    ssl_port: int = setting(995, _PORT)
    tls_only: bool = setting(False, flag, live=True)
    max_connections: int = setting(10_000, _COUNT, live=True)
    session_timeout_seconds: int = setting(1800, _SECONDS, key="session_timeout", live=True)
    max_failed_attempts: int = setting(5, integer(1, 100), live=True)


@dataclass(frozen=True, slots=True)
class LmtpConfig:
    """``[lmtp]``: a Unix socket, a TCP port (0: none), or both; whoever reaches them may deliver."""

    socket: str | None = setting(None, optional_text)
    socket_mode: int = setting(0o660, mode)
    socket_group: str | None = setting(None, optional_text)
    bind: str = setting("127.0.0.1", address)
    port: int = setting(0, _PORT)
    max_connections: int = setting(1000, _COUNT, live=True)
    max_message_octets: int = setting(50 * _MIB, octets(1, 1 << 30), key="max_message_size", live=True)
    delivered_to: bool = setting(False, flag, live=True)
    subaddress_mailboxes: bool = setting(False, flag, live=True)
    spam_to_junk: bool = setting(True, flag, live=True)


@dataclass(frozen=True, slots=True)
class ApiConfig:
    """``[api]``: the HTTP listener, with TLS on ``ssl_port`` (0: none). /health, /ready and /metrics need no token.

    ``jobs_at_once`` is how many jobs of administrators this server runs, 0: it leaves them to others; they read and
    write files below ``job_directory`` only, none where that is empty.
    """

    bind: str = setting("127.0.0.1", address)
    port: int = setting(8080, _PORT)
    ssl_port: int = setting(0, _PORT)
    token: str = setting("", any_text, secret=True, live=True)
    job_directory: str = setting("", any_text)
    jobs_at_once: int = setting(2, integer(0, 16))


@dataclass(frozen=True, slots=True)
class MetricsConfig:
    """``[metrics]``: a listener for Prometheus alone; ``[api]`` then has no /metrics. Port 0: none."""

    bind: str = setting("127.0.0.1", address)
    port: int = setting(0, _PORT)


@dataclass(frozen=True, slots=True)
class ClientsConfig:
    """``[clients]``: the servers that mail clients are told of. Empty and 0 mean `[system] hostname` and the ports that
    this server listens on; a port is where TLS begins with the first octet. Sending is another server's, Postfix's."""

    display_name: str = setting("", any_text, live=True)
    imap_host: str = setting("", any_text, live=True)
    imap_port: int = setting(0, _PORT, live=True)
    pop3_host: str = setting("", any_text, live=True)
    pop3_port: int = setting(0, _PORT, live=True)
    smtp_host: str = setting("", any_text, live=True)
    smtp_port: int = setting(587, integer(1, 65535), live=True)
    smtp_security: str = setting("starttls", choice("tls", "starttls"), live=True)


@dataclass(frozen=True, slots=True)
class GarbageConfig:
    """``[garbage]``: the collector. Expunged mail can be restored for ``undelete_days``; an object that nothing refers
    to is kept ``grace_hours`` before it is first suspected."""

    batch_size: int = setting(100, integer(1, 10_000))
    idle_seconds: int = setting(60, _SECONDS)
    pause_seconds: int = setting(5, integer(0, 3600))
    undelete_days: int = setting(30, integer(0, 3650))
    grace_hours: int = setting(24, integer(1, 8760))


@dataclass(frozen=True, slots=True)
class JournalConfig:
    """``[journal]``: what mailboxes hold, written to the object store every so often, for `lightmail recover`."""

    interval_seconds: int = setting(60, _SECONDS)
    segment_changes: int = setting(10_000, integer(1, 1_000_000))


@dataclass(frozen=True, slots=True)
class QuotaConfig:
    """``[quota]``: accounts that use ``warn_percent`` of a quota (0: never) get a message from ``warning_template``, or
    a text of ours."""

    warn_percent: int = setting(90, integer(0, 100))
    warning_template: str | None = setting(None, optional_text)
    check_seconds: int = setting(60, _SECONDS)


@dataclass(frozen=True, slots=True)
class WebhookConfig:
    """``[webhook]``: who is told of events, by POST requests to ``url``, and of which.

    They are signed with each ``secret`` or, without one, with ``token``, which each carries. A receiver at a private
    address needs ``allow_private``. While ``queue_events`` wait for it, new events are dropped.
    """

    enabled: bool = setting(False, flag, live=True)
    url: str = setting("", web_url, live=True)
    token: str = setting("", any_text, secret=True, live=True)
    secret: str = setting("", signing_secrets, secret=True, live=True)
    events: tuple[str, ...] = setting(EVENT_KINDS, event_kinds, live=True)
    timeout_ms: int = setting(5000, integer(100, 60_000), live=True)
    allow_private: bool = setting(False, flag, live=True)
    queue_events: int = setting(1_000_000, integer(1, 1_000_000_000), live=True)

    @property
    def wanted(self) -> tuple[str, ...]:
        """The kinds of events that are to be told; none where it is disabled."""
        return self.events if self.enabled else ()


@dataclass(frozen=True, slots=True)
class ClamavConfig:
    """``[clamav]``: ClamAV's daemon, by its Unix socket or host:port, looks at messages that come.

    What it finds something in is withheld, put into the mailbox for spam, or rejected. Without a verdict a message
    waits (``defer``) or is delivered unscanned; so is one of more than ``max_octets``. ``append`` has those that
    clients bring scanned, too: infected ones are always refused.
    """

    enabled: bool = setting(False, flag, live=True)
    address: str = setting("/run/clamav/clamd.ctl", clamd_address, live=True)
    infected: str = setting("withhold", choice("withhold", "junk", "reject"), live=True)
    unavailable: str = setting("defer", choice("defer", "deliver"), live=True)
    append: bool = setting(True, flag, live=True)
    max_octets: int = setting(25 * _MIB, octets(_MIB, 1 << 30), live=True)
    timeout_ms: int = setting(150_000, integer(1000, 600_000), live=True)
    scans_at_once: int = setting(8, integer(1, 256))


@dataclass(frozen=True, slots=True)
class LoggingConfig:
    """``[logging]``: no path means standard error."""

    path: str | None = setting(None, optional_text, live=True)
    level: str = setting("info", choice("debug", "info", "warn", "error"), live=True)
    json: bool = setting(False, flag, live=True)


@dataclass(frozen=True, slots=True)
class LimitsConfig:
    """``[limits]``: the bounds on what one connection, message or account may ask for."""

    line_octets_before_login: int = setting(8192, octets(1000, _MIB), live=True)
    line_octets: int = setting(65536, octets(8192, 16 * _MIB), live=True)
    literal_octets_before_login: int = setting(4096, octets(256, _MIB), live=True)
    literal_octets: int = setting(131_072, octets(4096, 16 * _MIB), live=True)
    append_octets: int = setting(50 * _MIB, octets(1, 1 << 30), live=True)
    mailbox_name_octets: int = setting(1000, octets(64, 1000), live=True)
    mailbox_depth: int = setting(20, integer(1, 100), live=True)
    search_keys: int = setting(64, integer(1, 128), live=True)
    bad_commands_before_login: int = setting(3, integer(1, 1000), live=True)
    bad_commands: int = setting(20, integer(1, 100_000), live=True)
    connections_per_user_and_address: int = setting(20, _COUNT, live=True)
    connections_per_address_before_login: int = setting(100, _COUNT, live=True)
    login_seconds: int = setting(60, _SECONDS, live=True)
    recipients: int = setting(1000, integer(1, 100_000), live=True)
    spool_memory_octets: int = setting(_MIB, octets(4096, 64 * _MIB))
    spool_total_octets: int = setting(2 << 30, octets(_MIB))
    object_threads: int = setting(16, integer(1, 256))
    object_queue: int = setting(1000, _COUNT)
    index_octets: int = setting(256 * _MIB, octets())
    snapshot_messages: int = setting(500, integer(0, 10_000_000))  # 0: no snapshots
    snapshot_seconds: int = setting(5, integer(1, 3600))
    rendered_octets: int = setting(64 * _MIB, octets())
    body_octets: int = setting(64 * _MIB, octets())
    password_threads: int = setting(0, integer(0, 64))  # 0: one per core
    password_queue: int = setting(32, integer(1, 10_000))
    verified_seconds: int = setting(300, integer(0, 86_400), live=True)  # 0: credentials are never cached
    drain_seconds: int = setting(30, integer(1, 600))
    trusted_networks: tuple[Network, ...] = setting((), networks, live=True)


@dataclass(frozen=True, slots=True)
class Config:
    """Everything, with the paths resolved. ``source`` is the file it came from; ``embedded`` says there was none."""

    system: SystemConfig = field(default_factory=SystemConfig)
    database: DatabaseConfig = field(default_factory=DatabaseConfig)
    storage: StorageConfig = field(default_factory=StorageConfig)
    s3: S3Config | None = None
    tls: TlsConfig | None = None
    imap: ImapConfig | None = None
    pop3: Pop3Config | None = None
    lmtp: LmtpConfig | None = None
    api: ApiConfig | None = None
    metrics: MetricsConfig = field(default_factory=MetricsConfig)
    garbage: GarbageConfig | None = None
    journal: JournalConfig | None = None
    quota: QuotaConfig = field(default_factory=QuotaConfig)
    webhook: WebhookConfig = field(default_factory=WebhookConfig)
    clients: ClientsConfig = field(default_factory=ClientsConfig)
    clamav: ClamavConfig = field(default_factory=ClamavConfig)
    logging: LoggingConfig = field(default_factory=LoggingConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    source: str | None = None
    embedded: bool = False
