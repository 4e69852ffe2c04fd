"""What no single key can tell: sections that need one another (`check`), files and users that must exist.

The second kind (`check_host`) is asked by the server and by `lightmail config check` only: a verb such as
`lightmail account add` has no business with the TLS key.
"""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Callable, Iterator
from typing import Final

from lightmail.config.sections import Config
from lightmail.errors import ConfigError

_LEVELS: Final = {"zstd": (1, 22), "gzip": (1, 9), "lz4": (1, 16), "none": (1, 22)}


def check(config: Config, source: str) -> None:
    """Raise ConfigError, naming `source`, where the sections of `config` do not go together."""
    _located(source, config, _check_storage, _check_listeners, _check_tls, _check_webhook)


def check_host(config: Config) -> None:
    """Raise ConfigError where this host lacks what `config` names: a certificate, a user, a group."""
    _located(config.source or "environment", config, _check_files, _check_names)


def _located(source: str, config: Config, *checks: Callable[[Config], None]) -> None:
    try:
        for one in checks:
            one(config)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None


def _check_storage(config: Config) -> None:
    storage = config.storage
    low, high = _LEVELS[storage.compression]
    if not low <= storage.level <= high:
        raise ConfigError(f"[storage] level must be from {low} to {high} for {storage.compression}")
    if storage.driver != "s3":
        return
    if config.s3 is None or not config.s3.bucket:
        raise ConfigError("[s3] bucket is missing; [storage] driver = s3 needs it")
    if bool(config.s3.access_key) != bool(config.s3.secret_key):
        key = "secret_key" if config.s3.access_key else "access_key"
        raise ConfigError(f"[s3] {key} is missing; give both keys, or neither where the machine has a role")


def _check_listeners(config: Config) -> None:
    if config.lmtp is not None and not config.lmtp.socket and not config.lmtp.port:
        raise ConfigError("[lmtp] socket or port is missing; give one of them, or remove the section")
    for name, service in (("imap", config.imap), ("pop3", config.pop3), ("api", config.api)):
        if service is not None and not service.port and not service.ssl_port:
            raise ConfigError(f"[{name}] port and ssl_port are both 0; give one of them, or remove the section")
    if config.api is not None and config.api.job_directory and not os.path.isabs(config.api.job_directory):
        raise ConfigError("[api] job_directory must be an absolute path")


def _tls_ports(config: Config) -> Iterator[tuple[str, int]]:
    for name, service in (("imap", config.imap), ("pop3", config.pop3), ("api", config.api)):
        if service is not None:
            yield name, service.ssl_port


def _check_tls(config: Config) -> None:
    for name, service in (("imap", config.imap), ("pop3", config.pop3)):
        if service is not None and service.tls_only and config.tls is None:
            raise ConfigError(f"[{name}] tls_only needs [tls] cert and key; add them")
    for name, port in _tls_ports(config):
        if port and config.tls is None:
            raise ConfigError(f"[{name}] ssl_port = {port} needs [tls] cert and key; add them, or set ssl_port = 0")
    for key in ("cert", "key"):
        if config.tls is not None and not getattr(config.tls, key):
            raise ConfigError(f"[tls] {key} is missing; name the PEM file")


def _check_webhook(config: Config) -> None:
    webhook = config.webhook
    if not webhook.enabled:
        return
    if not webhook.url:
        raise ConfigError("[webhook] url is missing; name who is to be told, or set enabled = false")
    if not webhook.secret and not webhook.token:
        raise ConfigError("[webhook] secret is missing; requests are signed: make one with lightmail webhook secret")
    if webhook.url.startswith("http:") and not webhook.allow_private:
        raise ConfigError("[webhook] url must begin with https, or allow_private = true say that the network is yours")


def _check_files(config: Config) -> None:
    if config.tls is None or config.embedded:  # an embedded server makes its own certificate
        return
    for key in ("cert", "key"):
        path = getattr(config.tls, key)
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            raise ConfigError(f"[tls] {key}: {path}: {error.strerror}; name a readable PEM file") from None
    if config.tls.directory and not os.access(config.tls.directory, os.R_OK | os.X_OK):
        raise ConfigError(f"[tls] directory: {config.tls.directory}: name a directory that the server can read")


def _check_names(config: Config) -> None:
    socket_group = config.lmtp.socket_group if config.lmtp else None
    for where, group in (("[system] group", config.system.group), ("[lmtp] socket_group", socket_group)):
        if group is not None and not _exists(grp.getgrnam, group):
            raise ConfigError(f"{where}: there is no group {group}; create it with: groupadd --system {group}")
    owner = config.system.owner
    if owner is not None and not _exists(pwd.getpwnam, owner):
        raise ConfigError(f"[system] owner: there is no user {owner}; create it with: useradd --system {owner}")


def _exists(find: Callable[[str], object], name: str) -> bool:
    try:
        find(name)
    except KeyError:
        return False
    return True
