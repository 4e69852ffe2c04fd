"""Named points in the order of writes, at which a test can kill the process: ``LIGHTMAIL_KILL=point:n``.

The n-th time that the point is reached (the first without n), the process ends as if by ``kill -9``: nothing is
flushed, nothing closed. Without the variable a point costs one comparison. Writer processes have
``LIGHTMAIL_KILL_WRITER``, so that either can die of what the other survives.
"""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterator
from typing import Final

# Every point there is, in the order that a delivery or an APPEND passes them; a test holds it against the code.
POINTS: Final = (
    "message-begun",  # the first octet of DATA or of APPEND's literal has come
    "message-spooled",  # what fills a spool's memory is in its file (over 1 MiB)
    "message-received",  # the last octet has come
    "object-named",  # the object has its key
    "object-writing",  # the object's file is written and not yet synced, or its PUT is about to be sent
    "object-part",  # a block of a large object has been handed to its upload (S3)
    "object-stored",  # the object is durable under its key
    "transaction-queued",  # its rows wait for their turn
    "transaction-begun",  # the first statement is about to be sent
    "mailboxes-locked",  # the mailboxes are locked and advanced, the objects have rows, and no message has
    "rows-written",  # the last statement is done, COMMIT is about to be sent
    "committed",  # COMMIT was answered
    "hinted",  # sessions have been told
    "reply-written",  # the answer has been handed to the transport
)

_wanted, _, _count = os.environ.get("LIGHTMAIL_KILL", "").partition(":")
_reached: Iterator[int] = itertools.count(1)
_fatal = int(_count or 1)


def reached(point: str) -> None:
    """Say that `point` was reached; safe in any thread."""
    if point == _wanted and next(_reached) == _fatal:
        os.kill(os.getpid(), signal.SIGKILL)
