"""How often LightMail has asked its database, from its /metrics page."""

from __future__ import annotations

import re

_SAMPLE = re.compile(r"^lightmail_database_round_trips_total\{name=\"[^\"]+\"\} (\S+)$", re.MULTILINE)


def total(page: str) -> float:
    """Round trips since the server started, whatever for (SQLite: statements)."""
    return sum(map(float, _SAMPLE.findall(page)))
