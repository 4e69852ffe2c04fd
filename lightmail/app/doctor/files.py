"""The configuration: what it needs on this host, and who may read its secrets."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from lightmail.app.doctor.checks import Check, bad, good, warning
from lightmail.config import Config, check_host
from lightmail.config.loader import SECTIONS, keys_of
from lightmail.errors import ConfigError, StartupError
from lightmail.jobs.quota_notice import read_notice


def look(config: Config) -> Iterator[Check]:
    """The configuration is loaded already; that it can be is for `load` to say."""
    source = config.source or "the embedded default"
    try:
        check_host(config)
        read_notice(config.quota.warning_template)
        yield good("configuration", source, "every key is understood, and what it names is here")
    except (ConfigError, StartupError) as error:
        yield bad("configuration", source, str(error), "correct it and run `lightmail config check`")
    if config.embedded:
        yield warning(
            "configuration",
            source,
            "no file is configured: SQLite, a directory of objects, high ports on loopback",
            "good for a trial; for more write /etc/lightmail/config.ini (docs/configure.md)",
        )
    if os.geteuid() == 0 and config.system.owner is None and not config.embedded:
        yield warning(
            "user",
            "[system] owner",
            "doctor runs as root, and root may do what the server's own user may not",
            "where the server is started as another user, let that user run doctor",
        )
    if config.source and os.path.exists(config.source):
        yield _secrecy(config.source, config)


def _secrecy(path: str, config: Config) -> Check:
    """Who can read the passwords that stand in the file itself; others come from the environment."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            mode, text = os.fstat(file.fileno()).st_mode, file.read()
    except OSError as error:
        return warning("secrets", path, error.strerror or str(error), "let the server's user read it")
    has_secret = any(secret in text for secret in _secrets(config))
    if has_secret and mode & stat.S_IROTH:
        return bad("secrets", path, "everybody on this host can read the passwords in it", f"chmod o-rwx {path}")
    return good("secrets", path, "its secrets are not for everybody" if has_secret else "it holds no secrets")


def _secrets(config: Config) -> Iterator[str]:
    """The values of all keys that are secret, where they are set."""
    for name in SECTIONS:
        section = getattr(config, name)
        for _, field, setting in keys_of(name) if section is not None else ():
            if setting.secret and getattr(section, field.name):
                yield getattr(section, field.name)
