"""What the benchmarks read and say is right: CPU accounts, histograms, ratios, the generator's facts."""

from __future__ import annotations

import re
import subprocess
import sys
from email.parser import BytesHeaderParser

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from bench import cpu, lines, report, stalls, trips
from bench.figures import Figures
from bench.goals import goal_table
from bench.messages import NEEDLE, facts, has_needle, kind, message, message_id
from bench.model import Row
from lightmail import metrics


def test_the_cpu_time_of_a_process_is_read_finer_than_a_tick() -> None:
    # What ends a thread makes it coarse, and this process has had some.
    program = "import sys, time; input(); own = time.process_time()\nwhile time.process_time() < own + 0.004: pass\n"
    with subprocess.Popen(
        [sys.executable, "-c", program + "print(flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(b"\n")
        child.stdin.flush()
        child.stdout.readline()
        spent = cpu.seconds([child.pid])
        child.stdin.close()
    assert 0.004 < spent < 5
    assert spent * 100 != pytest.approx(round(spent * 100), abs=1e-6)


def test_the_longest_stall_is_that_of_the_highest_bucket_that_grew() -> None:
    registry = CollectorRegistry()
    histogram = Histogram("lightmail_reactor_stall_seconds", "As ours.", buckets=(0.01, 0.05, 1.0), registry=registry)

    def read() -> stalls.Buckets:
        return stalls.buckets(generate_latest(registry).decode())

    histogram.observe(0.5)
    before = read()
    assert stalls.longest_ms(before, read()) is None
    histogram.observe(0.002)
    assert stalls.longest_ms(before, read()) == 10
    histogram.observe(0.03)
    histogram.observe(0.002)
    assert stalls.longest_ms(before, read()) == 50
    histogram.observe(7)
    assert stalls.longest_ms(before, read()) == float("inf")
    assert stalls.longest_ms({}, {}) is None


def test_the_server_serves_that_histogram() -> None:
    page = generate_latest(metrics.REGISTRY).decode()
    edges = list(stalls.buckets(page))
    assert edges[0] == 0.001
    assert edges[-2:] == [5.0, float("inf")]


def test_ratios_are_of_the_servers_alone_and_of_all_that_they_need() -> None:
    rows = [
        Row("SELECT", "first", 10, 1.0, {"": 1.0}),
        Row("SELECT", "second", 10, 2.0, {"": 0.5, "mariadb": 1.0}, stall=20),
        Row("SELECT", "second", 10, 2.0, {"": 0.5, "mariadb": 1.0}, stall=50),
    ]
    lines = report.table(Figures(rows, "first")).splitlines()
    assert lines[2] == "| SELECT | first | server 100000.0 | 1.00 |  | 10 | 1.00 |  |  |"
    assert lines[3] == "| SELECT | second | server 50000.0; mariadb 100000.0 | 0.50 | 1.50 | 5 | 0.50 | ≤ 50 |  |"


@pytest.mark.parametrize("number", range(8))
def test_what_is_said_of_a_message_is_true_of_it(number: int) -> None:
    octets = message(3, number)
    header = BytesHeaderParser().parsebytes(octets)
    told = facts(3, number)
    assert octets == message(3, number)
    assert header["Message-ID"] == message_id(3, number)
    assert header.get_content_subtype() == kind(number)
    assert header["Subject"] == told.subject
    assert told.sender in header["From"]
    assert told.date.strftime("%d %b %Y %H:%M:%S") in header["Date"]
    assert re.search(rb"(?<!\r)\n", octets) is None
    assert told.octets == len(octets)


def test_few_texts_have_the_needle() -> None:
    assert [number for number in range(200) if NEEDLE.encode() in message(3, number)] == [13, 110]
    assert all(has_needle(number) for number in (13, 110))


def test_what_was_wanted_stands_beside_what_was_reached_and_misses_are_bold() -> None:
    rows = [
        Row("STORE of one", "dovecot", 10, 1.0, {"": 1.0}),
        Row("STORE of one", "ours", 10, 2.0, {"": 3.0, "mariadb": 3.0}, trips=3.004, stall=75),
        Row("EXISTS to an idle client", "ours", 10, 2.0, {}, also={"ms": 2.54}),
        Row("idle connection", "ours", 10, 2.0, {}, also={"KiB": 3.0}),
        Row("login, SELECT, logout", "dovecot", 10, 1.0, {"": 1.0}),
        Row("login, SELECT, logout", "ours", 10, 0.5, {"": 0.5}),
    ]
    assert goal_table(Figures(rows, "dovecot"), "dovecot").splitlines() == [
        "| row | wanted | ours |",
        "| --- | --- | --: |",
        "| STORE of one | trips ≤ 3, × CPU ≤ 2.5, × sum ≤ 7, stall ms ≤ 50 | 3, **3.00**, 6.00, **75** |",
        "| EXISTS to an idle client | ms ≤ 20, stall ms ≤ 50 | 2.54, – |",
        "| login, SELECT, logout | × CPU ≤ 0.5, × rate ≥ 1, stall ms ≤ 50 | 0.50, 2.00, – |",
    ]


def test_the_server_counts_its_round_trips() -> None:
    metrics.DATABASE_ROUND_TRIPS.labels("bench").inc(0)
    before = trips.total(generate_latest(metrics.REGISTRY).decode())
    metrics.DATABASE_ROUND_TRIPS.labels("bench").inc(3)
    assert trips.total(generate_latest(metrics.REGISTRY).decode()) - before == 3


def test_the_costs_of_a_line_of_the_log_are_those_of_its_steps(capsys: pytest.CaptureFixture[str]) -> None:
    lines.table(200)
    costs = re.findall(r"^\| ([^|]+) \| (\d+\.\d) \|$", capsys.readouterr().out, re.MULTILINE)
    assert [what for what, _ in costs][-2:] == ["all of it, as text", "all of it, as JSON"]
    assert len(costs) == 7
    assert all(float(cost) > 0 for _, cost in costs[:3])
