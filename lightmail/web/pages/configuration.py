"""The configuration in force: every key with its value, where it comes from, and what it takes to change it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass
from typing import Any, Final

from lightmail.config import Config
from lightmail.config.loader import SECTIONS, keys_of
from lightmail.config.values import show as text_of
from lightmail.store import sessions
from lightmail.web.pages.views import Access, Answer, Html, View, Visit


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is in force, a secret hidden. `live`: another value is taken on by a running server."""

    name: str
    value: str
    is_default: bool
    live: bool


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the file; `entries` is None where it is not there, so that what it is about is off."""

    name: str
    entries: list[Key] | None


async def show(visit: Visit) -> Answer:
    """The page, and the server processes that run."""
    config = visit.services.config
    values = {
        "sections": list(_sections(config)),
        "source": config.source,
        "processes": await visit.services.database.read("processes", sessions.processes_txn),
    }
    return Html("configuration.html", values)


def _sections(config: Config) -> Iterator[Section]:
    for name in SECTIONS:
        section = getattr(config, name)
        entries = None if section is None else [_key(section, *key) for key in keys_of(name)]
        yield Section(name, entries)


def _key(section: Any, name: str, field: Field[Any], setting: Any) -> Key:
    value = getattr(section, field.name)
    return Key(name, text_of(value, setting), value == _default(field), setting.live)


def _default(field: Field[Any]) -> Any:
    return field.default_factory() if field.default_factory is not MISSING else field.default


VIEWS: Final = (View("GET", "/web/configuration", Access.SERVER, show),)
