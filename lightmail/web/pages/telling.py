"""Documents of rows, told to people: what the audit log says beside the action, what a job was given and came to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from lightmail.web.pages.templates import moment, size

Pair = tuple[str, str]

_US: Final = "_us"
# What is called otherwise where people read it.
_NAMES: Final = {"means": "what it means", "todo": "what to do"}
# A time as rows have it, where the API gave it to them.
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Table:
    """A list of things of one kind: the names of their columns, and their cells as texts."""

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def pairs(document: Mapping[str, Any], without: Sequence[str] = ()) -> list[Pair]:
    """What the document holds, as names and values to be read; what is empty is left out, and what `tables` shows."""
    return [
        (_name(name), _text(name, value))
        for name, value in document.items()
        if name not in without and value not in (None, "", [], {}) and not _is_table(value)
    ]


def sentence(document: Any) -> str:
    """As `pairs`, on one line."""
    if not isinstance(document, Mapping):
        return _text("", document)
    return "; ".join(f"{name} {value}" for name, value in pairs(document))


def tables(document: Mapping[str, Any], without: Sequence[str] = ()) -> list[Table]:
    """The lists that the document holds of things with several values each. A column that is empty is left out."""
    return [
        _table(name, value) for name, value in document.items() if name not in without and value and _is_table(value)
    ]


def _is_table(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and any(map(_is_row, value))


def _is_row(value: Any) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, Sequence) and not isinstance(value, str))


def _table(name: str, value: Sequence[Any]) -> Table:
    rows = [each if isinstance(each, Mapping) else _numbered(each) for each in value]
    keys = [
        key
        for key in dict.fromkeys(key for row in rows for key in row)
        if any(row.get(key) not in (None, "", [], {}) for row in rows)
    ]
    return Table(
        _name(name).capitalize(),
        [_name(key).capitalize() for key in keys],
        [[_text(key, row.get(key)) for key in keys] for row in rows],
    )


def _numbered(value: Any) -> Mapping[str, Any]:
    """A row that is a pair: what was left, and why."""
    values = value if _is_row(value) else [value]
    return dict(zip(("what", "why", "more"), values, strict=False))


def _name(key: str) -> str:
    return _NAMES.get(key) or key.removesuffix(_US).replace("_", " ")


def _text(key: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and key.endswith(_US):
        return moment(value)
    if isinstance(value, int) and "octets" in key:
        return size(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{_name(name)} {_text(name, each)}" for name, each in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_text(key, each) for each in value)
    return _time(str(value)) if _TIME.fullmatch(str(value)) else str(value)


def _time(text: str) -> str:
    try:
        return moment(int(datetime.fromisoformat(text).timestamp() * 1_000_000))
    except ValueError:
        return text
