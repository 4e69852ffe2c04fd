"""The listeners: ports that can be taken, or are taken by us; Postfix's way to the LMTP socket."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import socket
import ssl
import stat
from collections.abc import Iterator
from typing import Final

from lightmail.app.doctor.checks import Check, bad, good, warning
from lightmail.config import Config, LmtpConfig
from lightmail.peers import is_loopback

_ANSWER_SECONDS: Final = 5.0
_OURS: Final = b"LightMail"
# Sections whose services wait for the client to speak first.
_WEB: Final = ("[api]", "[metrics]")
_PRIVILEGED: Final = 1024
_POSTFIX: Final = "postfix"


def look(config: Config) -> Iterator[Check]:
    """Every address that the configuration asks for."""
    for name, service in (("imap", config.imap), ("pop3", config.pop3)):
        if service is not None and service.port:
            yield _port(f"[{name}] port", service.bind, service.port, tls=False)
        if service is not None and service.ssl_port:
            yield _port(f"[{name}] ssl_port", service.bind, service.ssl_port, tls=True)
    if config.lmtp is not None and config.lmtp.port:
        yield _port("[lmtp] port", config.lmtp.bind, config.lmtp.port, tls=False)
    if config.api is not None and config.api.port:
        yield _port("[api] port", config.api.bind, config.api.port, tls=False)
        if not is_loopback(config.api.bind):
            advice = "set [api] bind = 127.0.0.1, or port = 0 and an ssl_port"
            yield warning("port", f"[api] bind = {config.api.bind}", "tokens come to it unencrypted", advice)
    if config.api is not None and config.api.ssl_port:
        yield _port("[api] ssl_port", config.api.bind, config.api.ssl_port, tls=True)
    if config.metrics.port:
        yield _port("[metrics] port", config.metrics.bind, config.metrics.port, tls=False)
    if config.lmtp is not None and config.lmtp.socket:
        yield from _lmtp_socket(config.lmtp, config.lmtp.socket)


def _port(where: str, address: str, port: int, *, tls: bool) -> Check:
    looked_at = f"{where} = {port}"
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
            probe.listen(1)
            return good("port", looked_at, f"{address} port {port} is free")
        except OSError as error:
            refused = error
    # The kernel asks for the permission first: a server at work has the port all the same.
    privileged = refused.errno == errno.EACCES and port < _PRIVILEGED
    if refused.errno == errno.EADDRINUSE or privileged:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
        said = _said(host, port, tls=tls, web=where.startswith(_WEB))
        if said is None and privileged:
            return warning(
                "port",
                looked_at,
                "this user may not take ports below 1024",
                "nothing, where systemd starts the server with CAP_NET_BIND_SERVICE; else run doctor as root",
            )
        if said is not None and _OURS in said:
            return good("port", looked_at, f"LightMail listens on {address} port {port}")
        who = f"something that says {said[:60].decode('ascii', 'replace').strip()!r}" if said else "something else"
        return bad("port", looked_at, f"{who} listens on port {port}", f"stop it (ss -ltnp 'sport = :{port}' names it)")
    if refused.errno == errno.EADDRNOTAVAIL:
        return bad("port", looked_at, f"{address} is not an address of this host", "correct bind")
    return bad("port", looked_at, refused.strerror or str(refused), "choose another address or port")


def _said(host: str, port: int, *, tls: bool, web: bool) -> bytes | None:
    """The first octets that whoever listens there says; None where nobody does."""
    try:
        raw = socket.create_connection((host, port), timeout=_ANSWER_SECONDS)
    except ConnectionRefusedError:
        return None
    except OSError:
        return b""
    with raw:
        try:
            if not tls:
                return _first(raw, web=web)
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with context.wrap_socket(raw) as link:
                return _first(link, web=web)
        except OSError:
            return b""


def _first(link: socket.socket, *, web: bool) -> bytes:
    if web:
        link.sendall(b"GET /health HTTP/1.0\r\n\r\n")
    return link.recv(1024)


def _lmtp_socket(lmtp: LmtpConfig, path: str) -> Iterator[Check]:
    looked_at = f"[lmtp] socket = {path}"
    directory = os.path.dirname(path)
    if not os.path.isdir(directory):
        advice = f"create {directory}; systemd does with RuntimeDirectory=lightmail when it starts the server"
        yield warning("socket", looked_at, "its directory does not exist", advice)
        return
    try:
        status = os.stat(path)
    except OSError:
        yield good("socket", looked_at, "it is not there: no server runs")
    else:
        yield _existing(lmtp, looked_at, path, status)
    yield _postfix(lmtp, looked_at, directory)


def _existing(lmtp: LmtpConfig, looked_at: str, path: str, status: os.stat_result) -> Check:
    if not stat.S_ISSOCK(status.st_mode):
        return bad(
            "socket", looked_at, "a file that is no socket stands there", f"remove {path}, or choose another path"
        )
    group = _group_name(status.st_gid)
    if lmtp.socket_group is not None and group != lmtp.socket_group:
        found = f"it belongs to the group {group}, not to {lmtp.socket_group}"
        return bad("socket", looked_at, found, "restart the server; it must be in that group itself")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_ANSWER_SECONDS)
        try:
            probe.connect(path)
            said = probe.recv(1024)
        except PermissionError:
            return warning("socket", looked_at, "this user may not connect to it", "run doctor as root")
        except ConnectionRefusedError:
            return good("socket", looked_at, "nobody listens: a server that starts will replace it")
        except OSError as error:
            return bad("socket", looked_at, f"it does not answer: {error}", "look at the server's log")
    if _OURS in said:
        return good("socket", looked_at, f"LightMail listens there, for the group {group}")
    return bad("socket", looked_at, "something else listens there", "stop it, or choose another path")


def _postfix(lmtp: LmtpConfig, looked_at: str, directory: str) -> Check:
    """Whether Postfix's user will be let in, by the socket's mode and group and by its directory's."""
    try:
        user = pwd.getpwnam(_POSTFIX)
    except KeyError:
        return good("postfix", looked_at, "there is no user postfix on this host")
    groups = {user.pw_gid, *(each.gr_gid for each in grp.getgrall() if _POSTFIX in each.gr_mem)}
    allowed = bool(lmtp.socket_mode & 0o006) or (
        lmtp.socket_group is not None and _group_id(lmtp.socket_group) in groups and bool(lmtp.socket_mode & 0o060)
    )
    if not allowed:
        advice = "set [lmtp] socket_group = postfix and socket_mode = 660, and put the server's user in that group"
        return bad("postfix", looked_at, "the user postfix may not write to it", advice)
    status = os.stat(directory)
    opens = status.st_mode & 0o001 or (status.st_gid in groups and status.st_mode & 0o010)
    if not opens and status.st_uid != user.pw_uid:
        return bad("postfix", looked_at, f"the user postfix may not enter {directory}", f"chmod o+x {directory}")
    return good("postfix", looked_at, "the user postfix may deliver there")


def _group_id(name: str) -> int | None:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
