"""The servers that a client is told of: the configuration's, as the outside sees them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from lightmail.config import Config, ImapConfig, Pop3Config

Protocol: TypeAlias = Literal["imap", "pop3", "smtp"]


@dataclass(frozen=True, slots=True)
class Server:
    """One way in or out. `security` is `tls`, from the first octet, or `starttls`; plain text is never offered."""

    protocol: Protocol
    host: str
    port: int
    security: str


@dataclass(frozen=True, slots=True)
class Servers:
    """What one address is told: where to read, the best first, and where to send. `name` is what a person is shown."""

    name: str
    incoming: tuple[Server, ...]
    outgoing: Server

    def first(self, protocol: Protocol) -> Server | None:
        """The best server of a protocol to read by, None where there is none."""
        return next((server for server in self.incoming if server.protocol == protocol), None)


def servers(config: Config) -> Servers:
    """What clients of this configuration are told. IMAP comes before POP3, TLS before STARTTLS."""
    told, hostname = config.clients, config.system.hostname
    incoming = (
        *_listening("imap", told.imap_host or hostname, told.imap_port, config.imap),
        *_listening("pop3", told.pop3_host or hostname, told.pop3_port, config.pop3),
    )
    outgoing = Server("smtp", told.smtp_host or hostname, told.smtp_port, told.smtp_security)
    return Servers(told.display_name or hostname, incoming, outgoing)


def _listening(protocol: Protocol, host: str, port: int, section: ImapConfig | Pop3Config | None) -> tuple[Server, ...]:
    """The ports of one protocol. `port` is where a balancer in front of us takes TLS, 0 where there is none."""
    if section is None:
        return ()
    if port:
        return (Server(protocol, host, port, "tls"),)
    tls = (Server(protocol, host, section.ssl_port, "tls"),) if section.ssl_port else ()
    starttls = (Server(protocol, host, section.port, "starttls"),) if section.port and not section.tls_only else ()
    return tls + starttls
