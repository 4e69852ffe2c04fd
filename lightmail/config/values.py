"""How the text of one configuration value becomes a Python value, and back for `lightmail config show`.

A parser takes the stripped text and raises ValueError with a phrase that completes "… must be". Parsers know nothing
of files, sections or keys: the loader puts those in front.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from lightmail.model import EVENT_KINDS

Network = IPv4Network | IPv6Network
Parser = Callable[[str], Any]

_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_OCTETS: Final = re.compile(r"(\d{1,15})\s*([KMGT]?)(?:i?B)?\Z", re.IGNORECASE)
_TRUE: Final = frozenset({"true", "yes", "on", "1"})
_FALSE: Final = frozenset({"false", "no", "off", "0"})


@dataclass(frozen=True, slots=True)
class Setting:
    """What the loader knows of one field: its key in the file, its parser, whether its value is a secret, and whether a
    running server takes on another value (SIGHUP) or has to be restarted."""

    key: str | None
    parse: Parser
    secret: bool
    live: bool


def setting(default: Any, parse: Parser, *, key: str | None = None, secret: bool = False, live: bool = False) -> Any:
    """A dataclass field that can be configured: its default, or a function that makes it.

    ``key`` is its name in the file where the attribute's name differs.
    """
    metadata = {"setting": Setting(key, parse, secret, live)}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def text(value: str) -> str:
    """Any text that is not empty."""
    if not value:
        raise ValueError("a text that is not empty")
    return value


def optional_text(value: str) -> str | None:
    """Any text; an empty one means: not set."""
    return value or None


def any_text(value: str) -> str:
    """Any text, an empty one too."""
    return value


def flag(value: str) -> bool:
    """true or false."""
    lowered = value.lower()
    if lowered in _TRUE:
        return True
    if lowered in _FALSE:
        return False
    raise ValueError("true or false")


def integer(minimum: int, maximum: int) -> Parser:
    """A parser of decimal numbers from minimum to maximum."""

    def parse(value: str) -> int:
        if re.fullmatch(r"\d{1,18}", value) is None or not minimum <= int(value) <= maximum:
            raise ValueError(f"a number from {minimum} to {maximum}")
        return int(value)

    return parse


def octets(minimum: int = 0, maximum: int = 1 << 50) -> Parser:
    """A parser of sizes in octets: 52428800, 50M, 10G (units of 1024)."""

    def parse(value: str) -> int:
        match = _OCTETS.match(value)
        size = int(match[1]) * _UNITS[match[2].upper()] if match else -1
        if not minimum <= size <= maximum:
            raise ValueError(f"a size in octets such as 50M or 10G, from {minimum} to {maximum}")
        return size

    return parse


def amount(value: str) -> float:
    """A price: a decimal number with a point, such as 0.0245."""
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value, re.ASCII) is None:
        raise ValueError("a price such as 0.0245")
    return float(value)


def choice(*names: str) -> Parser:
    """A parser that accepts one of the names."""

    def parse(value: str) -> str:
        if value not in names:
            raise ValueError(f"one of {', '.join(names)}")
        return value

    return parse


def mode(value: str) -> int:
    """Octal file permissions."""
    if re.fullmatch(r"0?[0-7]{3}", value) is None:
        raise ValueError("octal permissions such as 0660")
    return int(value, 8)


def address(value: str) -> str:
    """An IP address to listen on."""
    try:
        return str(ip_address(value))
    except ValueError:
        raise ValueError("an IP address such as 127.0.0.1, 0.0.0.0 or ::") from None


def endpoint(value: str) -> str:
    """host:port, or a URL of http or https without credentials or a query."""
    try:
        parts = urlsplit(value if "://" in value else f"https://{value}")
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment or parts.username is not None:
        raise ValueError("host:port, or a URL of http or https")
    return value


def clamd_address(value: str) -> str:
    """The path of a Unix socket, or host:port."""
    if value.startswith("/"):
        return value
    host, _, port = value.rpartition(":")
    if not host or re.fullmatch(r"\d{1,5}", port) is None or not 0 < int(port) < 65536:
        raise ValueError("the path of a Unix socket such as /run/clamav/clamd.ctl, or host:port")
    return value


def networks(value: str) -> tuple[Network, ...]:
    """Networks separated by commas or spaces, such as ``10.0.0.0/8, ::1``."""
    try:
        return tuple(ip_network(part) for part in re.split(r"[,\s]+", value) if part)
    except ValueError:
        raise ValueError("a list of networks such as 10.0.0.0/8, ::1") from None


def names(value: str) -> Mapping[str, str]:
    r"""Pairs separated by commas: ``Sent Items = \Sent, Junk E-mail = \Junk``."""
    pairs: dict[str, str] = {}
    for part in value.split(","):
        if not part.strip():
            continue
        name, equals, use = (piece.strip() for piece in part.partition("="))
        if not (name and equals and re.fullmatch(r"\\[A-Za-z]+", use)):
            raise ValueError(r"pairs such as Sent Items = \Sent, Junk E-mail = \Junk")
        pairs[name] = use
    return MappingProxyType(pairs)


def web_url(value: str) -> str:
    """A URL of http or https, ASCII, without a name, password or fragment; an empty one means: not set."""
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    printable = value.isascii() and value.isprintable() and " " not in value
    if value and (not usable or not printable or "#" in value or "@" in parts.netloc):
        raise ValueError("a URL such as https://example.org/hook")
    return value


def event_kinds(value: str) -> tuple[str, ...]:
    """Kinds of events separated by commas or spaces: ``message.delivered``, ``account.*`` or ``*``."""
    chosen: list[str] = []
    for word in filter(None, re.split(r"[,\s]+", value)):
        found = [kind for kind in EVENT_KINDS if word in (kind, "*", kind.partition(".")[0] + ".*")]
        if not found:
            raise ValueError(f"kinds of events, of which there are {', '.join(EVENT_KINDS)}, and * for all")
        chosen += found
    return tuple(kind for kind in EVENT_KINDS if kind in chosen)


def signing_secrets(value: str) -> str:
    """Secrets of Standard Webhooks, one or, while the next one is introduced, several: ``whsec_`` and base64."""
    for word in re.split(r"[,\s]+", value) if value else ():
        try:
            octets = len(base64.b64decode(word.removeprefix("whsec_"), validate=True))
        except ValueError:
            octets = 0
        if not word.startswith("whsec_") or not 24 <= octets <= 64:
            raise ValueError("whsec_ and the base64 of 24 to 64 random octets")
    return value


def show(value: Any, setting: Setting) -> str:
    """The text that `setting.parse` would turn into `value` again; a secret is hidden."""
    if setting.secret:
        return "(hidden)" if value else ""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if setting.parse is mode:
        return f"{value:04o}"
    if isinstance(value, float):
        return f"{value:.9f}".rstrip("0").rstrip(".")
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{name} = {use}" for name, use in value.items())
    return str(value)


def size_text(size: int) -> str:
    """A size in octets as people write it: 10G, 1.5M, 812."""
    for unit, factor in (("T", 1 << 40), ("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10)):
        if size >= factor:
            return f"{size / factor:.1f}".removesuffix(".0") + unit
    return str(size)
