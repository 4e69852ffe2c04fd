"""Where a delivery's time goes in LightMail, from the histograms of its /metrics page."""

from __future__ import annotations

import re

STAGES = ("spool", "render", "compress", "put", "transaction", "COMMIT")
_SAMPLE = re.compile(r"^(\w+_seconds)_(sum|count)\{(\w+)=\"([^\"]+)\"\} (\S+)$", re.MULTILINE)

# By stage: seconds in all, and how often.
Totals = dict[str, tuple[float, float]]


def totals(page: str) -> Totals:
    """What a server has spent in each stage since it started, from its page; nothing where there is none."""
    found: dict[str, dict[str, float]] = {}
    for _metric, kind, label, value, number in _SAMPLE.findall(page):
        if label == "stage":
            found.setdefault(value, {})[kind] = float(number)
        elif label == "name" and value == "deliver COMMIT":
            found.setdefault("COMMIT", {})[kind] = float(number)
    return {name: (each["sum"], each["count"]) for name, each in found.items()}


def milliseconds(before: Totals, after: Totals) -> dict[str, float]:
    """Mean milliseconds of each stage between two readings; several deliveries may share one COMMIT."""
    means: dict[str, float] = {}
    for name in STAGES:
        spent, times = after.get(name, (0.0, 0.0))
        spent_before, times_before = before.get(name, (0.0, 0.0))
        if times > times_before:
            means[name] = (spent - spent_before) / (times - times_before) * 1000
    return means
