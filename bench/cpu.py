"""CPU time and memory of process trees, from /proc: what the kernel charged, whatever else the machine did."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


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
    """CPU seconds that the trees of `pids` have used, waited-for children included."""
    total = 0.0
    for pid in tree(pids):
        fields = _stat(pid)
        if fields:
            # Ticks leave out what is less than one, the scheduler's account threads that have ended: each is too low.
            own = max(sum(map(int, fields[11:13])) / _TICKS, _scheduled_seconds(pid))
            total += own + sum(map(int, fields[13:15])) / _TICKS
    return total


def resident_kib(pids: Iterable[int]) -> int:
    """Proportional set size of the trees of `pids`, in KiB: shared pages count once."""
    total = 0
    for pid in tree(pids):
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += next((int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")), 0)
    return total


def peak_kib(pid: int) -> int:
    """The highest resident set of one process since `reset_peak`, in KiB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM:"))


def reset_peak(pid: int) -> None:
    """Let `peak_kib` start again from what the process holds now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _scheduled_seconds(pid: int) -> float:
    """What the scheduler has charged to the threads that a process has now."""
    nanoseconds = 0
    for account in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            nanoseconds += int(account.read_text().split()[0])
        except OSError:
            continue
    return nanoseconds / 1e9


def _stat(pid: int) -> list[str] | None:
    """Fields 3 (state) and on of /proc/PID/stat, or None where the process has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
