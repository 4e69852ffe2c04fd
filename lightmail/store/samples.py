"""What servers did and had, a row for each process and span of time (table `samples`).

A process adds up what it does in the minute, the quarter of an hour and the two hours that it is in, and writes its
rows of them anew each minute: so each span is one look-up, and nothing has to be summed up later.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from lightmail.store.cursor import Cursor
from lightmail.store.sqltext import NOW_US

MINUTE: Final = 60
QUARTER: Final = 900
TWO_HOURS: Final = 7200
# For how long the rows of each span are kept, in seconds: what is shown of it, and some more.
KEPT_SECONDS: Final[Mapping[int, int]] = {MINUTE: 2 * 3600, QUARTER: 2 * 86_400, TWO_HOURS: 9 * 86_400}

_WRITE: Final = "REPLACE INTO samples (step, began_at, process, document) VALUES (%s, %s, %s, %s)"
_SINCE: Final = (
    "SELECT began_at, process, document FROM samples WHERE step = %s AND began_at >= %s ORDER BY began_at, process"
)
_FORGET: Final = f"DELETE FROM samples WHERE step = %s AND began_at < {NOW_US} - %s"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Sample:
    """What one process did in a span of `step` seconds that began at `began_us`, and had.

    `counts` are sums; `levels` are sums of what it had each minute, to be divided by the minutes; `peaks` are the
    highest that there was.
    """

    step: int
    began_us: int
    counts: Mapping[str, float] = field(default_factory=dict)
    levels: Mapping[str, float] = field(default_factory=dict)
    peaks: Mapping[str, float] = field(default_factory=dict)


def write_txn(cursor: Cursor, process: bytes, samples: Sequence[Sample]) -> None:
    """Write what a process says of its spans, over what it said of them before."""
    cursor.script([(_WRITE, (each.step, each.began_us, process, _document(each))) for each in samples])


def since_txn(cursor: Cursor, step: int, since_us: int) -> list[Sample]:
    """The samples of all processes of that step whose spans began at `since_us` or later, the oldest first."""
    cursor.execute(_SINCE, (step, since_us))
    return [_sample(step, row[0], json.loads(row[2])) for row in cursor.fetchall()]


def forget_txn(cursor: Cursor) -> int:
    """Delete the rows that are not kept any longer; how many."""
    return sum(cursor.execute(_FORGET, (step, seconds * 1_000_000)) for step, seconds in KEPT_SECONDS.items())


def _document(sample: Sample) -> bytes:
    parts = {"c": sample.counts, "l": sample.levels, "p": sample.peaks}
    # What is zero need not be said, nor less than a thousandth be shown.
    short = {name: {key: round(value, 3) for key, value in part.items() if value} for name, part in parts.items()}
    return json.dumps(short, separators=(",", ":")).encode("ascii")


def _sample(step: int, began_us: int, document: Mapping[str, Any]) -> Sample:
    return Sample(step, began_us, document.get("c", {}), document.get("l", {}), document.get("p", {}))
