"""What differs between two configurations, and what of it a running server takes on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from lightmail.config.checks import check
from lightmail.config.loader import SECTIONS, keys_of
from lightmail.config.sections import Config
from lightmail.config.values import show


@dataclass(frozen=True, slots=True)
class Change:
    """A key that has another value; a section that came or went has no `key`. Secrets are hidden.

    `live`: a running server takes it on.
    """

    section: str
    key: str
    before: str
    after: str
    live: bool


def changes(before: Config, after: Config) -> Iterator[Change]:
    """The keys that differ, in the order of the file."""
    for name in SECTIONS:
        old, new = getattr(before, name), getattr(after, name)
        if old is None or new is None:
            if old is not new:
                yield Change(name, "", "" if old is None else "present", "" if new is None else "present", live=False)
            continue
        for key, field, setting in keys_of(name):
            was, is_ = getattr(old, field.name), getattr(new, field.name)
            if was != is_:
                yield Change(name, key, show(was, setting), show(is_, setting), setting.live)


def in_force(before: Config, after: Config) -> Config:
    """`before` with what a running server takes on of `after`.

    Raises ConfigError where that goes together with nothing but the rest of `after`.
    """
    sections: dict[str, Any] = {}
    for name in SECTIONS:
        old, new = getattr(before, name), getattr(after, name)
        if old is not None and new is not None:
            live = {field.name: getattr(new, field.name) for _, field, setting in keys_of(name) if setting.live}
            sections[name] = replace(old, **live)
    mixed = replace(before, **sections)
    check(mixed, "taken on without a restart")
    return mixed
