"""A server and its writer process: neither takes the other along against its will, and none is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.servers import HOST, MailServer, environment, program
from tests.support.lmtpclient import LmtpClient

ADA = "ada@example.org"


def writers_of(pid: int) -> list[int]:
    """The writer processes of a server."""
    with suppress(FileNotFoundError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(child) for child in children if b"writer_process" in Path(f"/proc/{child}/cmdline").read_bytes()]
    return []


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")


def one_writer(pid: int) -> int:
    until(lambda: writers_of(pid))
    (writer,) = writers_of(pid)
    return writer


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> MailServer:
    server = MailServer(tmp_path_factory.mktemp("writers"), {"storage": {"writer_processes": 1}})
    server.cli("migrate")
    server.cli("domain", "add", "example.org")
    server.account(ADA)
    return server


@pytest.fixture
def server(prepared: MailServer) -> Iterator[MailServer]:
    """A server that is not started yet."""
    yield prepared
    prepared.kill()


def written(server: MailServer) -> int:
    """How many objects were put, by whomever."""
    lines = server.get("/metrics")[1].decode().splitlines()
    (line,) = [line for line in lines if line.startswith('lightmail_object_seconds_count{call="put"}')]
    return int(float(line.split()[1]))


def deliver(server: MailServer, numbers: range, replies: list[bytes]) -> None:
    with LmtpClient(HOST, server.lmtp) as client:
        for number in numbers:
            body = b"Message-ID: <%d@writers>\r\n\r\n" % number + b"x" * 4000 + b"\r\n"
            replies += client.deliver("sender@example.net", [ADA], body)


def test_a_writer_that_dies_costs_no_delivery_and_signals_to_the_group_do_not_touch_it(server: MailServer) -> None:
    server.start()
    assert server.process is not None
    pid = server.process.pid
    first = one_writer(pid)
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(first, ignored)
    replies: list[list[bytes]] = [[], [], []]
    threads = [
        threading.Thread(target=deliver, args=(server, range(50 * k, 50 * k + 50), replies[k])) for k in range(3)
    ]
    threads[0].start()
    threads[0].join()
    assert writers_of(pid) == [first]
    for thread in threads[1:]:
        thread.start()
    os.kill(first, signal.SIGKILL)
    for thread in threads[1:]:
        thread.join()
    assert [reply[:3] for each in replies for reply in each] == [b"250"] * 150
    assert written(server) >= 150
    until(lambda: writers_of(pid) not in ([], [first]))
    second = one_writer(pid)
    server.terminate()
    assert server.wait() == 0
    assert not is_alive(second)
    assert server.log().count("a writer process has ended") == 1
    assert "Traceback" not in server.log()


def test_a_server_that_is_killed_leaves_no_process_behind(server: MailServer) -> None:
    server.start()
    assert server.process is not None
    writer = one_writer(server.process.pid)
    server.kill()
    until(lambda: not is_alive(writer))


def test_a_daemon_has_its_writer_too(server: MailServer) -> None:
    pidfile = server.directory / "pid"
    subprocess.run(
        [program("twistd"), f"--pidfile={pidfile}", "lightmail", "--config", str(server.config)],
        cwd=server.directory,
        env=environment(),
        timeout=60,
        check=True,
    )
    until(server.ready)
    pid = int(pidfile.read_text())
    try:
        writer = one_writer(pid)
        replies: list[bytes] = []
        deliver(server, range(200, 210), replies)
        assert [reply[:3] for reply in replies] == [b"250"] * 10
    finally:
        os.kill(pid, signal.SIGTERM)
        until(lambda: not is_alive(pid), 60)
    assert not is_alive(writer)
