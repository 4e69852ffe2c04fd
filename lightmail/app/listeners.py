"""The doors of the server: which sockets the configuration asks for, opened last and closed first."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from socket import socket
from typing import Any, Final

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import maybeDeferred
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory

from lightmail.app.privileges import owner_id
from lightmail.app.sockets import bind_tcp, bind_unix, listen
from lightmail.config import Config

log = Logger()

# The services that are asked about the others.
HTTP: Final = ("api", "metrics")


@dataclass(frozen=True, slots=True)
class _Door:
    """A bound socket of a service: ``where`` is its section and key, ``tls`` means TLS from the first octet."""

    service: str
    where: str
    bound: socket
    tls: bool = False


class Listeners:
    """All listening sockets of a configuration. `bind`, then `open`, then `close`."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._doors: list[_Door] = []
        self._ports: list[tuple[str, Any]] = []  # each IListeningPort with its service

    def bind(self) -> None:
        """Take the addresses without letting anybody in. Raises StartupError, and then holds none of them."""
        try:
            self._bind_all()
        except BaseException:
            for door in self._doors:
                door.bound.close()
            self._doors.clear()
            raise

    def open(self, factories: Mapping[str, Any], tls: Any, reactor: Any) -> None:
        """Let clients in to each service's factory. Raises StartupError."""
        while self._doors:
            door = self._doors.pop(0)
            factory = factories[door.service]
            if door.tls:
                factory = TLSMemoryBIOFactory(tls, False, factory, clock=reactor)
                factory.noisy = False
            port = listen(reactor, door.where, door.bound, factory)
            self._ports.append((door.service, port))
            log.info("{service} listens on {address}", service=door.where, address=_name(port))

    async def close(self, *, keep: Collection[str] = ()) -> None:
        """Let nobody in any more, except to the services `keep`; who is in stays."""
        for door in self._doors:
            door.bound.close()
        self._doors.clear()
        closing = [port for service, port in self._ports if service not in keep]
        self._ports = [(service, port) for service, port in self._ports if service in keep]
        for port in closing:
            try:
                await maybeDeferred(port.stopListening)
            except OSError as error:  # such as a Unix socket in a directory that is not ours
                log.warn("a listener did not close cleanly: {error}", error=error)

    def _bind_all(self) -> None:
        config = self._config
        for name, service in (("imap", config.imap), ("pop3", config.pop3)):
            if service is not None and service.port:
                self._tcp(name, "port", service.bind, service.port)
            if service is not None and service.ssl_port:
                self._tcp(name, "ssl_port", service.bind, service.ssl_port, tls=True)
        if config.lmtp is not None and config.lmtp.socket:
            lmtp, where = config.lmtp, "[lmtp] socket"
            owner = owner_id(config.system)
            bound = bind_unix(where, config.lmtp.socket, lmtp.socket_mode, lmtp.socket_group, owner)
            self._doors.append(_Door("lmtp", where, bound))
        if config.lmtp is not None and config.lmtp.port:
            self._tcp("lmtp", "port", config.lmtp.bind, config.lmtp.port)
        if config.api is not None and config.api.port:
            self._tcp("api", "port", config.api.bind, config.api.port)
        if config.api is not None and config.api.ssl_port:
            self._tcp("api", "ssl_port", config.api.bind, config.api.ssl_port, tls=True)
        if config.metrics.port:
            self._tcp("metrics", "port", config.metrics.bind, config.metrics.port)

    def _tcp(self, service: str, key: str, address: str, port: int, *, tls: bool = False) -> None:
        where = f"[{service}] {key}"
        self._doors.append(_Door(service, where, bind_tcp(where, address, port), tls))


def _name(port: Any) -> str:
    address = port.getHost()
    if isinstance(address, UNIXAddress):
        return os.fsdecode(address.name or b"")
    return f"{address.host} port {address.port}"
