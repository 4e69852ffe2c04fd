"""The table of docs/metrics.md: every metric, its labels, and the values that they can have."""

from __future__ import annotations

import re
from pathlib import Path

from lightmail.imap import table
from lightmail.pop3.server import COMMANDS as POP3_COMMANDS

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"

_ROW = re.compile(r"^\| (`[a-z].*?) \| (.*?) ?\| .+ \|$", re.MULTILINE)
_LABEL = re.compile(r"`([a-z]+)`: ([^;]+)")

# What the page names in words: patterns, for values that are many.
_NAMES = r"[A-Za-z0-9 ._+-]{1,60}"
_MANY = {
    "names in the code": _NAMES,
    "IMAP commands": "|".join(re.escape(name.decode()) for name in table.COMMANDS),
    "POP3 commands": "|".join(re.escape(name.decode()) for name in POP3_COMMANDS),
    "HTTP status codes": "[1-5][0-9][0-9]",
}


def metrics_on_the_page() -> dict[str, dict[str, re.Pattern[str]]]:
    """By the name of each metric its labels, each with a pattern of its values."""
    found: dict[str, dict[str, re.Pattern[str]]] = {}
    for names, labels in _ROW.findall(PAGE.read_text()):
        for name in re.findall(r"`(\w+)`", names):
            found[name] = {label: _pattern(values) for label, values in _LABEL.findall(labels)}
    return found


def _pattern(values: str) -> re.Pattern[str]:
    words = [word.strip() for word in values.split(",")]
    return re.compile("|".join(_MANY.get(word, re.escape(word)) for word in words))
