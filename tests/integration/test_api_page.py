"""docs/api.md on a real server: its commands, one after the other, and the API over TLS."""

from __future__ import annotations

import http.client
import json
import os
import re
import sqlite3
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.servers import HOST, ROOT, MailServer, environment, free_ports

PAGE = ROOT / "docs" / "api.md"


@pytest.fixture(scope="module")
def tls_port() -> int:
    [port] = free_ports(1)
    return port


@pytest.fixture(scope="module")
def metrics_port() -> int:
    [port] = free_ports(1)
    return port


@pytest.fixture(scope="module")
def server(tmp_path_factory, tls_port, metrics_port) -> Iterator[MailServer]:
    sections = {
        "api": {"token": "configured", "ssl_port": tls_port},
        "metrics": {"bind": HOST, "port": metrics_port},
        **dict.fromkeys(("imap", "pop3", "lmtp")),
    }
    server = MailServer(tmp_path_factory.mktemp("api"), sections)
    server.cli("migrate")
    server.cli("domain", "add", "example.org")
    server.start()
    yield server
    assert server.stop() == 0
    assert "Traceback" not in server.log(), server.log()[-5000:]


def commands() -> list[str]:
    """The page's commands, in order."""
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


def shell(server: MailServer, command: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of the page, the server being where it is and the token being the configuration's."""
    program = directory / "lightmail"
    if not program.exists():
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m lightmail.cli "$@" --config {server.config}\n')
        program.chmod(0o755)
    command = command.replace("http://127.0.0.1:8080", f"http://{HOST}:{server.http}")
    command = command.replace("curl ", "curl --silent --show-error --fail-with-body ")
    path = f"{directory}:{os.environ['PATH']}"
    return subprocess.run(
        ["sh", "-c", command],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT,
        env=environment(PATH=path, TOKEN="configured"),
    )


def test_every_command_of_the_page(server, tmp_path):
    said = {}
    for command in commands():
        done = shell(server, command, tmp_path)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        said[command] = done.stdout
    assert len(said) >= 10
    [audit] = [output for command, output in said.items() if "/admin/audit" in command]
    assert [each["subject"] for each in json.loads(audit)["items"]] == ["ada@example.com"]
    [accounts] = [output for command, output in said.items() if "search=ada" in command]
    assert json.loads(accounts)["items"][0]["quota_octets"] == 1 << 30


def test_tls_and_tokens_made_beside_the_server(server, tls_port):
    token = server.cli("token", "add", "prober", "--scope", "status:read").stdout.strip()
    context = ssl.create_default_context(cafile=server.tls.cert)
    context.check_hostname = False
    for secret, status in ((token, 200), ("configured", 200), ("wrong", 401)):
        connection = http.client.HTTPSConnection(HOST, tls_port, timeout=30, context=context)
        connection.request("GET", "/admin/health", headers={"Authorization": f"Bearer {secret}"})
        assert connection.getresponse().status == status
        connection.close()
    server.cli("token", "revoke", "prober")
    connection = http.client.HTTPConnection(HOST, server.http, timeout=30)
    connection.request("GET", "/stats", headers={"Authorization": f"Bearer {token}"})
    assert connection.getresponse().status == 401
    connection.close()
    assert "token prober GET /admin/health 200" in server.log()
    assert token not in server.log()


def test_doctor_finds_us_behind_our_doors(server, tls_port, metrics_port):
    said = server.cli("doctor", check=False).stdout
    for door, port in (("[api] port", server.http), ("[api] ssl_port", tls_port), ("[metrics] port", metrics_port)):
        assert f"good     port: {door} = {port}: LightMail listens" in said, said


def test_a_schema_that_is_another_makes_the_server_unready(server):
    """What /ready says is what a start would: a server does not work on another schema than its own."""
    assert server.checks() == {"database": "ok", "schema": "ok", "objects": "ok"}
    with closing(sqlite3.connect(server.directory / "data" / "lightmail.sqlite")) as rows:
        for change, word in ((1, "failed"), (-1, "ok")):
            rows.execute("UPDATE store SET schema_version = schema_version + ?", (change,))
            rows.commit()
            time.sleep(1.1)  # an answer is kept for a second
            assert server.checks()["schema"] == word
    assert server.ready()
