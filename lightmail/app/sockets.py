"""Listening sockets: bound early, as root where ports are low; listening only once the server can serve.

Binding and listening are apart so that a port in use is told before anything else starts, privileges are dropped
between the two, and no client is let in before database and objects have been checked.
"""

from __future__ import annotations

import errno
import grp
import os
import socket
import stat
from typing import Any

from twisted.internet import unix

from lightmail.app.transports import TcpTransport, UnixTransport
from lightmail.errors import StartupError

_BACKLOG = 1024


def bind_tcp(where: str, address: str, port: int) -> socket.socket:
    """A socket bound to the address, not yet listening. `where` names section and key in a StartupError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.bind((address, port))
    except OSError as error:
        bound.close()
        raise StartupError(f"{where} = {port}: {_why_tcp(error, address, port)}") from None
    return bound


def bind_unix(where: str, path: str, mode: int, group: str | None, owner: int = -1) -> socket.socket:
    """A bound Unix socket with the given permissions; the leftover of a server that is gone is replaced.

    `owner` is the user id that the server will have when it listens; -1: the present one.
    """
    bound: socket.socket | None = None
    try:
        _remove_leftover(where, path)
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        old = os.umask(0o777 & ~mode)  # so that it never stands open, not even for a moment
        try:
            bound.bind(path)
        finally:
            os.umask(old)
        os.chown(path, owner, -1 if group is None else grp.getgrnam(group).gr_gid)
        os.chmod(path, mode)
    except OSError as error:
        if bound is not None:
            bound.close()
        raise StartupError(f"{where} = {path}: {error.strerror or error}; check the directory and its owner") from None
    return bound


def listen(reactor: Any, where: str, bound: socket.socket, factory: Any) -> Any:
    """Let clients in: listen on a bound socket, which the IListeningPort returned then owns. Raises StartupError."""
    if bound.family == socket.AF_UNIX:
        return _listen_unix(reactor, bound, factory)
    try:
        bound.listen(_BACKLOG)
    except OSError as error:
        # Two processes may bind one port as long as neither listens; the second to listen is told here.
        address, port = bound.getsockname()[:2]
        bound.close()
        raise StartupError(f"{where}: {_why_tcp(error, address, port)}") from None
    listening = reactor.adoptStreamPort(bound.fileno(), bound.family, factory)
    listening.transport = TcpTransport
    bound.close()  # adoptStreamPort has duplicated the descriptor
    return listening


def _listen_unix(reactor: Any, bound: socket.socket, factory: Any) -> Any:
    """As `reactor.adoptStreamPort`, which would open the socket to everybody (0666) for it knows no mode."""
    mode = stat.S_IMODE(os.stat(bound.getsockname()).st_mode)
    listening: Any = unix.Port._fromListeningDescriptor(reactor, bound.fileno(), factory)
    listening.mode, listening.backlog, listening.transport = mode, _BACKLOG, UnixTransport
    listening.startListening()
    bound.close()
    return listening


def _why_tcp(error: OSError, address: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {address} is in use; stop what listens there, or choose another port"
    if error.errno == errno.EACCES:
        return f"no permission for port {port}; choose one above 1023, or give the service CAP_NET_BIND_SERVICE"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{address} is not an address of this host; change bind"
    return f"{error.strerror or error}"


def _remove_leftover(where: str, path: str) -> None:
    try:
        status = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise StartupError(f"{where} = {path}: a file that is no socket stands there; remove it or choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        except OSError as error:
            raise StartupError(f"{where} = {path}: {error.strerror or error}") from None
        else:
            raise StartupError(f"{where} = {path}: another server listens there; stop it or choose another path")
