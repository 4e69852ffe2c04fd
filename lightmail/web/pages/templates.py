"""The templates, and the files that pages load: read once from the package, static ones named by their digest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from lightmail import __version__
from lightmail.config.values import size_text
from lightmail.web.api.shown import line

_PACKAGE: Final = "lightmail.web.pages"
_SHORT_CHARACTERS: Final = 200
_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Static:
    """A file that pages load."""

    content_type: str
    octets: bytes
    digest: str


def _load() -> dict[str, Static]:
    found = {}
    for file in (resources.files(_PACKAGE) / "static").iterdir():
        kind = _TYPES.get(file.name.rpartition(".")[2])
        if kind is not None:
            octets = file.read_bytes()
            found[file.name] = Static(kind, octets, hashlib.sha256(octets).hexdigest()[:16])
    return found


STATIC: Final[Mapping[str, Static]] = _load()


def _static(name: str) -> str:
    """The address of a static file: another one when its octets are others, so that browsers may keep it for ever."""
    return f"/web/static/{name}?{STATIC[name].digest}"


def moment(us: int) -> str:
    """Unix microseconds as people read them, in UTC and to the minute; 0 is never."""
    return datetime.fromtimestamp(us / 1_000_000, UTC).strftime("%Y-%m-%d %H:%M UTC") if us else "never"


def _iso(us: int) -> str:
    return datetime.fromtimestamp(us / 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def size(octets: int) -> str:
    """A size as people read it: 9.3 GiB, 812 bytes, 0."""
    text = size_text(octets)
    if text.isdigit():
        return f"{text} byte{'' if octets == 1 else 's'}" if octets else text
    return f"{text[:-1]} {text[-1]}iB"


def _short(text: str) -> str:
    """What strangers wrote, as a heading or a line of a list has room for it."""
    return line(text, _SHORT_CHARACTERS) + ("…" if len(text) > _SHORT_CHARACTERS else "")


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(_PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals.update(static=_static, version=__version__)
    environment.filters.update(moment=moment, iso=_iso, size=size, short=_short)
    return environment


_ENVIRONMENT: Final = _environment()


def render(template: str, values: Mapping[str, Any]) -> bytes:
    """A page as HTML in UTF-8. Everything is escaped; a value that a template misses is a bug."""
    return _ENVIRONMENT.get_template(template).render(values).encode("utf-8", "replace")
