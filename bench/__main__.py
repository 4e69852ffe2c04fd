"""Command line of the benchmarks: ``python -m bench compare``, ``… load --target …``, ``… garbage``, ``… verify``."""

from __future__ import annotations

import argparse
import asyncio
import sys
import urllib.parse
from pathlib import Path

from bench import cpu, report
from bench.workloads import WORKLOADS, Row, Settings, Target


def main() -> None:
    arguments = _parser().parse_args()
    if arguments.what == "garbage":
        from bench import garbage  # it needs MariaDB and an S3 server, and no server of ours

        garbage.main(arguments.count)
        return
    if arguments.what == "verify":
        from bench import verifying  # as garbage

        verifying.main(arguments.count)
        return
    settings = Settings(
        count=arguments.count,
        cycles=arguments.cycles,
        deliveries=arguments.deliveries,
        connections=arguments.connections,
        octets=arguments.octets,
        idle=arguments.idle,
    )
    names = ["seed", *(name for name in arguments.workloads.split(",") if name != "seed")]
    if arguments.what == "compare":
        from bench.stack import Stacks  # the only part that needs Dovecot, MariaDB and an S3 server

        with Stacks(arguments.only.split(",")) as targets:
            rows = asyncio.run(_rounds(targets, names, settings, arguments.rounds))
    else:
        targets = [_target(spec, arguments.pid) for spec in arguments.target]
        rows = asyncio.run(_rounds(targets, names, settings, arguments.rounds))
    text = f"{report.machine()}; {settings.count} messages, {arguments.rounds} rounds\n\n"
    text += report.table(rows, targets[0].name) + "\n" + report.stage_table(rows)
    print(text)
    if arguments.out:
        Path(arguments.out).write_text(text)


async def _rounds(targets: list[Target], names: list[str], settings: Settings, rounds: int) -> list[Row]:
    """All workloads, the targets in turn within each round, so that a drifting machine hits all of them."""
    rows: list[Row] = []
    for number in range(rounds):
        for name in names:
            for target in targets:
                async for row in WORKLOADS[name](target, settings):
                    rows.append(row)
                    print(f"round {number + 1}: {target.name}: {row.workload}", file=sys.stderr, flush=True)
    return rows


def _target(spec: str, pids: list[str]) -> Target:
    name, _, text = spec.partition("=")
    url = urllib.parse.urlsplit(text)
    query = dict(urllib.parse.parse_qsl(url.query))
    if url.scheme != "imap" or not (url.username and url.port):
        raise SystemExit(
            f"--target {spec}: want NAME=imap://USER:PASSWORD@HOST:PORT?lmtp=HOST:PORT&pop3=HOST:PORT[&metrics=HOST:PORT]"
        )
    roles: dict[str, list[int]] = {}
    for entry in pids:
        label, _, where = entry.partition("=")
        owner, _, role = label.partition("/")
        if owner == name:
            roles.setdefault(role, []).append(cpu.pid_of(where))
    return Target(
        name=name,
        imap=(url.hostname or "127.0.0.1", url.port),
        lmtp=_address(query["lmtp"]),
        pop3=_address(query["pop3"]),
        user=url.username,
        scratch=tuple(f"u{k}" for k in range(1, int(query.get("users", "20")) + 1)),
        password=url.password or "",
        domain=query.get("domain", "bench.example"),
        pids=roles,
        metrics=_address(query["metrics"]) if "metrics" in query else None,
    )


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("what", choices=["compare", "load", "garbage", "verify"])
    parser.add_argument(
        "--only", default="dovecot,embedded,mariadb-s3", help="compare: which servers, the first is 1.00"
    )
    parser.add_argument("--target", action="append", default=[], help="load: NAME=imap://USER:PASSWORD@HOST:PORT?…")
    parser.add_argument("--pid", action="append", default=[], help="load: NAME[/role]=PID or pid file")
    parser.add_argument("--workloads", default=",".join(WORKLOADS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", help="write the table to this file too")
    defaults = Settings()
    for name in ("count", "cycles", "deliveries", "connections", "octets", "idle"):
        parser.add_argument(f"--{name}", type=int, default=getattr(defaults, name))
    return parser


if __name__ == "__main__":
    main()
