"""From a file and the environment to one checked :class:`Config`.

The file is INI; the environment overrides it key by key (``LIGHTMAIL_S3_BUCKET``), and a secret may lie in a file of
its own (``LIGHTMAIL_S3_SECRET_KEY_FILE``). Where neither a file is named nor /etc/lightmail/config.ini exists, the
server is embedded: SQLite, a directory of objects and high ports on loopback, all in ./var.

Whatever is wrong becomes one :class:`ConfigError` line that names file, section and key and says what to do.
"""

from __future__ import annotations

import configparser
import difflib
import os
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, replace
from typing import Any, Final

from lightmail.config.checks import check
from lightmail.config.sections import (
    ApiConfig,
    ClamavConfig,
    ClientsConfig,
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
    QuotaConfig,
    S3Config,
    StorageConfig,
    SystemConfig,
    TlsConfig,
    WebhookConfig,
)
from lightmail.config.values import Setting, show
from lightmail.errors import ConfigError

DEFAULT_PATH: Final = "/etc/lightmail/config.ini"

SECTIONS: Final[dict[str, type[Any]]] = {
    "system": SystemConfig,
    "database": DatabaseConfig,
    "storage": StorageConfig,
    "s3": S3Config,
    "tls": TlsConfig,
    "imap": ImapConfig,
    "pop3": Pop3Config,
    "lmtp": LmtpConfig,
    "api": ApiConfig,
    "metrics": MetricsConfig,
    "clients": ClientsConfig,
    "garbage": GarbageConfig,
    "journal": JournalConfig,
    "quota": QuotaConfig,
    "webhook": WebhookConfig,
    "clamav": ClamavConfig,
    "logging": LoggingConfig,
    "limits": LimitsConfig,
}
# These have defaults for every key and are there whether the file names them or not.
_ALWAYS: Final = frozenset(
    {"system", "database", "storage", "quota", "metrics", "webhook", "clamav", "clients", "logging", "limits"}
)

EMBEDDED: Final[dict[str, dict[str, str]]] = {
    "system": {"data_directory": "var"},
    "database": {"driver": "sqlite"},
    "storage": {"driver": "directory"},
    "tls": {},
    "imap": {"bind": "127.0.0.1", "port": "1143", "ssl_port": "1993"},
    "pop3": {"bind": "127.0.0.1", "port": "1110", "ssl_port": "1995"},
    "lmtp": {"bind": "127.0.0.1", "port": "1024"},
    "api": {"bind": "127.0.0.1", "port": "8080"},
    "garbage": {},
    "journal": {},
}

_PREFIX: Final = "LIGHTMAIL_"
# Ours but no keys (CONFIG, KILL, TEST_), and what Kubernetes sets for a service called "lightmail" (SERVICE_, PORT).
_NO_KEYS: Final = ("CONFIG", "KILL", "TEST_", "SERVICE_", "PORT")


@dataclass(frozen=True, slots=True)
class _Given:
    """The text of a value, and where it stands, for the error message."""

    text: str
    where: str


_Raw = dict[str, dict[str, _Given]]


def load(path: str | None = None, environ: Mapping[str, str] | None = None) -> Config:
    """The configuration of `path`, or of LIGHTMAIL_CONFIG, or of /etc/lightmail/config.ini, or the embedded one.

    An empty LIGHTMAIL_CONFIG asks for the embedded one, whatever /etc holds. `environ` defaults to the process's
    environment. Raises ConfigError.
    """
    environ = os.environ if environ is None else environ
    path = path or environ.get("LIGHTMAIL_CONFIG", DEFAULT_PATH if os.path.exists(DEFAULT_PATH) else "") or None
    if path is None:
        embedded = "the embedded default"
        raw = {s: {k: _Given(v, embedded) for k, v in keys.items()} for s, keys in EMBEDDED.items()}
    else:
        raw = _read(path)
    _overlay(raw, environ)
    sections = {name: _build(name, raw.get(name, {})) for name in SECTIONS if name in raw or name in _ALWAYS}
    config = _with_paths(Config(**sections, source=path, embedded=path is None))
    check(config, path or "environment")
    return config


def keys_of(section: str) -> Iterator[tuple[str, Field[Any], Setting]]:
    """The keys of a section as the file writes them, each with its field and how it is read."""
    for field in fields(SECTIONS[section]):
        setting: Setting = field.metadata["setting"]
        yield setting.key or field.name, field, setting


def shown(config: Config) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """The sections in effect, each with its keys and values as text; secrets are hidden."""
    for name in SECTIONS:
        section = getattr(config, name)
        if section is not None:
            yield name, [(key, show(getattr(section, field.name), setting)) for key, field, setting in keys_of(name)]


def _read(path: str) -> _Raw:
    # No interpolation: a % in a password is a %. No default section: [DEFAULT] is as unknown as any other.
    parser = configparser.ConfigParser(interpolation=None, default_section="\0")
    try:
        with open(path, encoding="utf-8") as file:
            parser.read_file(file, source=path)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; name a readable file with --config") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: the file is not UTF-8 text; save it as UTF-8") from None
    except configparser.DuplicateSectionError as error:
        raise ConfigError(f"{path}: [{error.section}] stands twice (line {error.lineno}); merge the two") from None
    except configparser.DuplicateOptionError as error:
        where = f"[{error.section}] {error.option}"
        raise ConfigError(f"{path}: {where} stands twice (line {error.lineno}); remove one") from None
    except configparser.MissingSectionHeaderError as error:
        raise ConfigError(f"{path}: line {error.lineno} stands before any [section]; put a section above it") from None
    except configparser.ParsingError as error:
        line = error.errors[0][0]
        raise ConfigError(f"{path}: line {line} is neither [section] nor key = value; mend it or put # first") from None
    raw: _Raw = {}
    for section in parser.sections():
        if section not in SECTIONS:
            raise ConfigError(f"{path}: unknown section [{section}]; {_instead(section, list(SECTIONS))}")
        known = [key for key, _, _ in keys_of(section)]
        for key, value in parser.items(section):
            if key not in known:
                raise ConfigError(f"{path}: [{section}] {key} is an unknown key; {_instead(key, known)}")
            if "\n" in value:
                raise ConfigError(f"{path}: [{section}] {key} goes over several lines; write it on one")
        raw[section] = {key: _Given(value, path) for key, value in parser.items(section)}
    return raw


def _overlay(raw: _Raw, environ: Mapping[str, str]) -> None:
    """Put the values of the environment over those of the file. A section named only there becomes present."""
    known = {
        f"{_PREFIX}{section}_{key}".upper(): (section, key, setting)
        for section in SECTIONS
        for key, _, setting in keys_of(section)
    }
    for name in sorted(environ):
        if not name.startswith(_PREFIX) or name.removeprefix(_PREFIX).startswith(_NO_KEYS):
            continue
        file_of = name.removesuffix("_FILE")
        if name in known:
            section, key, _ = known[name]
            value = environ[name]
        elif name != file_of and file_of in known and known[file_of][2].secret:
            section, key, _ = known[file_of]
            if file_of in environ:
                raise ConfigError(f"environment: {file_of} and {name} both give [{section}] {key}; unset one")
            value = _secret(name, environ[name], section, key)
        else:
            raise ConfigError(f"environment: {name} names no section and key; {_instead(name, list(known))}")
        raw.setdefault(section, {})[key] = _Given(value.strip(), f"environment: {name}")


def _secret(name: str, path: str, section: str, key: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read(65_536).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigError(f"environment: {name}: [{section}] {key} is to come from {path}: {why}") from None


def _build(section: str, given: Mapping[str, _Given]) -> Any:
    """The dataclass of a section from the texts that were given for it."""
    values: dict[str, Any] = {}
    for key, field, setting in keys_of(section):
        if key not in given:
            assert field.default is not MISSING or field.default_factory is not MISSING
            continue
        text, where = given[key].text, given[key].where
        try:
            values[field.name] = setting.parse(text)
        except ValueError as error:
            was = "the value given" if setting.secret else repr(text)
            raise ConfigError(f"{where}: [{section}] {key} must be {error}, not {was}") from None
    return SECTIONS[section](**values)


def _with_paths(config: Config) -> Config:
    """Every path absolute, and the empty ones in their place under the data directory."""
    data = os.path.abspath(config.system.data_directory)

    def at(path: str, default: str) -> str:
        return os.path.abspath(path) if path else os.path.join(data, default)

    storage = replace(
        config.storage,
        path=at(config.storage.path, "objects"),
        cache_directory=at(config.storage.cache_directory, "cache"),
        spool_directory=at(config.storage.spool_directory, "spool"),
    )
    tls = config.tls
    if tls is not None and (config.embedded or (tls.cert and tls.key)):
        tls = replace(tls, cert=at(tls.cert, "tls/cert.pem"), key=at(tls.key, "tls/key.pem"))
    if tls is not None and tls.directory:
        tls = replace(tls, directory=os.path.abspath(tls.directory))
    lmtp = config.lmtp
    if lmtp is not None and lmtp.socket:
        lmtp = replace(lmtp, socket=os.path.abspath(lmtp.socket))
    quota = config.quota
    if quota.warning_template:
        quota = replace(quota, warning_template=os.path.abspath(quota.warning_template))
    logging = config.logging
    if logging.path:
        logging = replace(logging, path=os.path.abspath(logging.path))
    return replace(
        config,
        system=replace(config.system, data_directory=data),
        database=replace(config.database, path=at(config.database.path, "lightmail.sqlite")),
        storage=storage,
        tls=tls,
        lmtp=lmtp,
        quota=quota,
        logging=logging,
    )


def _instead(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, 1)
    if close:
        return f"did you mean {close[0]}?"
    return "remove it" if len(known) > 40 else f"the known ones are {', '.join(known)}"
