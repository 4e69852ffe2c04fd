"""What a request costs in CPU time: this process, and a database's server beside it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_TICK_MS = 10.0


@dataclass(frozen=True)
class Meter:
    """Measures; `server_pid` is the database's server, None where it works in this process."""

    server_pid: int | None
    tries: int = 5

    def cost_ms(self, ask: Callable[[], object]) -> tuple[float, float]:
        """Milliseconds that asking costs this process, the least of several times, and the server, the mean of them."""
        own = []
        before = self._server_ms()
        for _ in range(self.tries):
            began = time.process_time()
            ask()
            own.append((time.process_time() - began) * 1000)
        return min(own), (self._server_ms() - before) / self.tries

    def _server_ms(self) -> float:
        if self.server_pid is None:
            return 0.0
        fields = Path(f"/proc/{self.server_pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * _TICK_MS
