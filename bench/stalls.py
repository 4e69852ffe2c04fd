"""The longest time that LightMail's reactor kept others waiting, from the histogram of its /metrics page."""

from __future__ import annotations

import re

_BUCKET = re.compile(r"^lightmail_reactor_stall_seconds_bucket\{le=\"([^\"]+)\"\} (\S+)$", re.MULTILINE)

# How many beats were late by at most so many seconds, by that edge, since the server started.
Buckets = dict[float, float]


def buckets(page: str) -> Buckets:
    """The histogram in a page of metrics; nothing where there is none."""
    return {float(edge): float(count) for edge, count in _BUCKET.findall(page)}


def longest_ms(before: Buckets, after: Buckets) -> float | None:
    """The upper edge, in ms, of the highest bucket that has grown; None where none has."""
    below = 0.0
    longest = None
    for edge in sorted(after):
        within = after[edge] - before.get(edge, 0.0)
        if within > below:
            longest = edge * 1000
        below = within
    return longest
