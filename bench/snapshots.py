"""Whether LightMail has written the snapshots of its indexes, from its /metrics page."""

from __future__ import annotations

import re

_DUE = re.compile(r"^lightmail_snapshots_due (\S+)$", re.MULTILINE)


def due(page: str) -> int:
    """How many are still to be written; none where a server writes none."""
    return int(sum(map(float, _DUE.findall(page))))
