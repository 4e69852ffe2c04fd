"""CPU time and memory of process trees, from /proc: what the kernel charged, whatever else the machine did."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
# Which of a process's clocks: all that its threads ran.
_SCHEDULED = 2


def pid_of(text: str) -> int:
    """A process id, given as a number or as the path of a file that starts with one."""
    return int(text) if text.isdigit() else int(Path(text).read_text().split()[0])


def tree(pids: Iterable[int]) -> set[int]:
    """The processes `pids` and all their living descendants."""
    parents: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            fields = _stat(int(entry))
            if fields:
                parents.setdefault(int(fields[1]), []).append(int(entry))
    found: set[int] = set()
    waiting = list(pids)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting.extend(parents.get(pid, ()))
    return found


def seconds(pids: Iterable[int]) -> float:
    """CPU seconds that the trees of `pids` have used, waited-for children included.

    Living processes are read to the nanosecond, with their threads that have ended; what children have used that ended
    is told in ticks of 10 ms, once for all of them.
    """
    total = 0.0
    for pid in tree(pids):
        fields = _stat(pid)
        if fields:
            total += _own_seconds(pid) + sum(map(int, fields[13:15])) / _TICKS
    return total


def resident_kib(pids: Iterable[int]) -> int:
    """Proportional set size of the trees of `pids`, in KiB: shared pages count once."""
    return sum(map(own_resident_kib, tree(pids)))


def own_resident_kib(pid: int) -> int:
    """Proportional set size of one process, in KiB; 0 where it has gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")), 0)


def peak_kib(pid: int) -> int:
    """The highest resident set of one process since `reset_peak`, in KiB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM:"))


def reset_peak(pid: int) -> None:
    """Let `peak_kib` start again from what the process holds now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _own_seconds(pid: int) -> float:
    """What the scheduler has charged to a process, 0 where it has gone; man 3 clock_getcpuclockid."""
    try:
        return time.clock_gettime((~pid << 3) | _SCHEDULED)
    except OSError:
        return 0.0


def _stat(pid: int) -> list[str] | None:
    """Fields 3 (state) and on of /proc/PID/stat, or None where the process has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
