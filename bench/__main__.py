"""Command line of the benchmarks: ``python -m bench compare``, ``load --target …``, ``log``, ``journal`` (JOBS)."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path

from bench import cpu, report
from bench.figures import Figures
from bench.goals import goal_table
from bench.jobs import JOBS
from bench.model import Row, Settings, Target
from bench.workloads import ONCE, WORKLOADS

_SIZES = ("count", "cycles", "deliveries", "connections", "octets", "idle", "crowd", "changes", "huge", "large")


def main() -> None:
    arguments = _parser().parse_args()
    if arguments.what in JOBS:
        costs = importlib.import_module(JOBS[arguments.what]).costs  # it needs MariaDB and an S3 server, none of ours
        importlib.import_module("bench.sites").table(costs, arguments.count)
        return
    if arguments.what == "log":
        importlib.import_module("bench.lines").table(arguments.count)
        return
    settings = Settings(**{name: getattr(arguments, name) for name in _SIZES})
    names = ["seed", *(name for name in arguments.workloads.split(",") if name != "seed")]
    unknown = [name for name in names if name not in WORKLOADS]
    if unknown:
        raise SystemExit(f"--workloads {','.join(unknown)}: unknown, there are {', '.join(WORKLOADS)}")
    if arguments.what == "compare":
        from bench.stack import Stacks  # the only part that needs Dovecot, MariaDB and an S3 server

        with Stacks(arguments.only.split(",")) as targets:
            _compare(targets, names, settings, arguments.rounds, arguments.out)
    else:
        targets = [_target(spec, arguments.pid, arguments.restart) for spec in arguments.target]
        _compare(targets, names, settings, arguments.rounds, arguments.out)


def _compare(targets: list[Target], names: list[str], settings: Settings, rounds: int, out: str | None) -> None:
    """Measure, and report; what had been measured before something went wrong is reported, too."""
    rows: list[Row] = []
    try:
        asyncio.run(_rounds(targets, names, settings, rounds, rows))
    finally:
        figures = Figures(rows, targets[0].name)
        parts = [
            report.conditions(targets, settings, rounds),
            report.table(figures),
            goal_table(figures, targets[0].name),
            report.stage_table(rows),
        ]
        text = "\n".join(part for part in parts if part)
        print(text)
        if out:
            Path(out).write_text(text)


async def _rounds(targets: list[Target], names: list[str], settings: Settings, rounds: int, rows: list[Row]) -> None:
    """All workloads, the targets in turn within each round, so that a drifting machine hits all of them.

    Every other round has them in the opposite order: whatever follows on something does so half of the time only.
    """
    began = time.monotonic()
    for number in range(rounds):
        for name in names:
            if name in ONCE and number < rounds - 1:
                continue
            for target in targets if number % 2 == 0 else reversed(targets):
                async for row in WORKLOADS[name](target, settings):
                    rows.append(row)
                    at = f"{time.monotonic() - began:.0f} s"
                    print(f"{at}: round {number + 1}: {target.name}: {row.workload}", file=sys.stderr, flush=True)


def _target(spec: str, pids: list[str], restarts: list[str]) -> Target:
    name, _, text = spec.partition("=")
    url = urllib.parse.urlsplit(text)
    query = dict(urllib.parse.parse_qsl(url.query))
    if url.scheme != "imap" or not (url.username and url.port):
        raise SystemExit(
            f"--target {spec}: want NAME=imap://USER:PASSWORD@HOST:PORT?lmtp=HOST:PORT&pop3=HOST:PORT[&metrics=HOST:PORT]"
        )
    command = dict(each.split("=", 1) for each in restarts).get(name)

    def restart() -> list[int]:
        assert command is not None
        subprocess.run(command, shell=True, check=True)
        return _roles(name, pids)[""]

    return Target(
        name=name,
        imap=(url.hostname or "127.0.0.1", url.port),
        lmtp=_address(query["lmtp"]),
        pop3=_address(query["pop3"]),
        user=url.username,
        scratch=tuple(f"u{k}" for k in range(1, int(query.get("users", "20")) + 1)),
        password=url.password or "",
        domain=query.get("domain", "bench.example"),
        pids=_roles(name, pids),
        metrics=_address(query["metrics"]) if "metrics" in query else None,
        restart=restart if command else None,
        about=query.get("about", ""),
    )


def _roles(name: str, pids: list[str]) -> dict[str, list[int]]:
    """The process ids that were given for a target, by role."""
    roles: dict[str, list[int]] = {}
    for entry in pids:
        label, _, where = entry.partition("=")
        owner, _, role = label.partition("/")
        if owner == name:
            roles.setdefault(role, []).append(cpu.pid_of(where))
    return roles


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("what", choices=["compare", "load", "log", *JOBS])
    parser.add_argument(
        "--only", default="dovecot,embedded,mariadb-s3", help="compare: which servers, the first is 1.00"
    )
    parser.add_argument("--target", action="append", default=[], help="load: NAME=imap://USER:PASSWORD@HOST:PORT?…")
    parser.add_argument("--pid", action="append", default=[], help="load: NAME[/role]=PID or pid file")
    parser.add_argument(
        "--restart",
        action="append",
        default=[],
        help="load: NAME=COMMAND that restarts it and returns when it serves and its pid files are written",
    )
    usual = ",".join(WORKLOADS)
    parser.add_argument("--workloads", default=usual, help=f"which of {usual}; seed is always there")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", help="write the report to this file too: Markdown")
    defaults = Settings()
    for name in _SIZES:
        parser.add_argument(f"--{name}", type=int, default=getattr(defaults, name))
    return parser


if __name__ == "__main__":
    main()
