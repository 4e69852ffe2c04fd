"""What the benchmarks read and say is right: CPU accounts, histograms, ratios, the generator's facts."""

from __future__ import annotations

import re
import subprocess
import sys
from email.parser import BytesHeaderParser

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from bench import cpu, report, stalls
from bench.messages import facts, kind, message, message_id
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
    lines = report.table(rows, "first").splitlines()
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
