"""What keeps a server from starting: one clear line, exit status 1, no traceback; and what a good start looks like."""

from __future__ import annotations

import grp
import json
import os
import pwd
import re
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.integration.corpus import message
from tests.integration.servers import HOST, MailServer, environment, mysql_section, program, s3_section
from tests.support import mariadb


def refusal(server: MailServer, **environ: str) -> str:
    """The one line with which the server refuses to start."""
    process = server.launch(**environ)
    try:
        assert process.wait(60) == 1, server.log()
    finally:
        server.kill()
    log = server.log()
    assert "Traceback" not in log
    (line,) = [
        line for line in log.splitlines() if "lightmail cannot start: " in line or line.startswith("lightmail: ")
    ]
    return line.partition("lightmail cannot start: ")[2] or line


@pytest.fixture
def server(tmp_path: Path) -> MailServer:
    return MailServer(tmp_path)


def change(server: MailServer, section: str, **keys: object) -> None:
    server.sections[section] = {**server.sections.get(section, {}), **keys}
    server.write_config()


def test_bad_configuration(server):
    change(server, "imap", prot=143)
    line = refusal(server)
    assert line == f"lightmail: {server.config}: [imap] prot is an unknown key; did you mean port?"


def test_missing_configuration(server):
    server.config.unlink()
    assert refusal(server) == (
        f"lightmail: {server.config}: No such file or directory; name a readable file with --config"
    )


def test_no_service(server):
    for section in ("imap", "pop3", "lmtp", "api"):
        server.sections.pop(section)
    server.write_config()
    assert refusal(server) == "no service is configured; add [imap], [pop3], [lmtp], [api], [garbage] or [journal]"


def test_port_in_use(server):
    server.cli("migrate")
    with socket.create_server((HOST, server.imap)):
        line = refusal(server)
    assert line == (
        f"[imap] port = {server.imap}: port {server.imap} on 127.0.0.1 is in use; "
        "stop what listens there, or choose another port"
    )


def test_bad_certificate(server):
    Path(server.tls.cert).write_text("no certificate\n")
    assert refusal(server) == f"[tls] cert: {server.tls.cert} holds no PEM certificate"


def test_older_schema(server):
    assert "run `lightmail migrate`" in refusal(server)


def test_newer_schema(server):
    server.cli("migrate")
    with sqlite3.connect(server.directory / "data" / "lightmail.sqlite") as rows:
        rows.execute("UPDATE store SET schema_version = 999")
    rows.close()
    assert "schema version 999" in refusal(server)


def with_mysql(server: MailServer, **keys: Any) -> None:
    if not mariadb.available():
        pytest.skip("no MariaDB: install Debian's mariadb-server")
    server.sections["database"] = {**mysql_section(mariadb.server().config("absent")), **keys}
    server.write_config()


def test_wrong_database_password(server):
    with_mysql(server, password="sesame")
    line = refusal(server)
    assert "[database]" in line
    assert "password" in line
    assert "sesame" not in line


def test_absent_database(server):
    with_mysql(server)
    assert "absent" in refusal(server)


def test_no_database_server(server):
    with_mysql(server, socket="/nowhere/mysqld.sock")
    assert "/nowhere/mysqld.sock" in refusal(server)


def with_s3(server: MailServer, s3_server: Any, **keys: object) -> None:
    server.sections["storage"] = {"driver": "s3"}
    server.sections["s3"] = {**s3_section(s3_server), **keys}
    server.write_config()
    server.cli("migrate")


def test_wrong_s3_key(server, s3_server):
    with_s3(server, s3_server, secret_key="wrong")
    line = refusal(server)
    assert "correct [s3] access_key and secret_key" in line


def test_absent_bucket(server, s3_server):
    with_s3(server, s3_server, bucket="absent")
    line = refusal(server)
    assert "'absent'" in line
    assert "create it" in line


def test_an_object_store_that_never_answered(server, s3_server):
    """One that has served is waited for: tests/faults/test_degraded.py."""
    with_s3(server, s3_server, endpoint=f"http://{HOST}:1")
    assert "cannot be used" in refusal(server)


def fill(path: Path) -> None:
    """Write to `path` until its disk is full."""
    with open(path, "wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass


@pytest.fixture
def small(server: MailServer) -> Iterator[Path]:
    """A file system of two megabytes."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("a small file system can be mounted by root only")
    path = server.directory / "small"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", path], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    yield path
    subprocess.run(["umount", path], check=True)


def test_full_disk_of_objects(server, small):
    (small / "objects").mkdir()
    fill(small / "filler")
    change(server, "storage", path=small / "objects")
    server.cli("migrate")
    line = refusal(server)
    assert str(small / "objects") in line
    assert "No space left on device" in line


def test_full_disk_of_rows(server, small):
    change(server, "database", path=small / "rows.sqlite")
    server.cli("migrate")
    fill(small / "filler")
    assert refusal(server) == f"[database] path: {small / 'rows.sqlite'}: no space is left on its disk."


def test_full_disk_of_the_spool(server, small):
    fill(small / "filler")
    change(server, "storage", spool_directory=small)
    server.cli("migrate")
    assert refusal(server) == f"The spool directory {small} cannot be used: No space left on device."


def test_embedded_with_no_arguments(tmp_path):
    """`twistd -n lightmail` alone, as after `make install`, on other ports."""
    server = MailServer(tmp_path)
    command = [program("twistd"), "-n", "lightmail"]
    environ = environment(LIGHTMAIL_CONFIG="", **server.ports())
    for run in ("first", "second"):
        with server.log_path.open("ab") as log:
            server.process = subprocess.Popen(command, cwd=tmp_path, env=environ, stdout=log, stderr=log)
        server.wait_until_ready()
        assert (tmp_path / "var" / "lightmail.sqlite").exists(), run
        assert server.stop() == 0
    assert "Traceback" not in server.log(), server.log()[-5000:]
    assert server.log().count("made a self-signed certificate") == 1


def test_root_becomes_the_owner(place):
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    can_import = [sys.executable, "-c", "import os; os.setuid(65534); import sqlite3, lightmail.store.sqlite"]
    if subprocess.run(can_import, env=environment(), capture_output=True, check=False).returncode != 0:
        pytest.skip("this Python is for root only")
    server = MailServer(place)
    (place / "run").mkdir()
    shutil.chown(place / "run", "nobody")
    change(server, "system", owner="nobody", group="nogroup")
    change(server, "lmtp", socket=place / "run" / "lmtp.sock", socket_mode="0640", socket_group="daemon")
    server.cli("migrate")
    server.cli("domain", "add", "example.org")
    server.account("ada@example.org")
    server.start()
    assert server.process is not None
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    server.deliver("ada@example.org", message(0))
    door = (place / "run" / "lmtp.sock").stat()
    assert server.stop() == 0
    assert list((place / "run").iterdir()) == []
    nobody = pwd.getpwnam("nobody").pw_uid
    assert re.search(rf"^Uid:(\s+{nobody}){{4}}$", status, re.MULTILINE)
    owners = {path.stat().st_uid for path in (place / "data").rglob("*")}
    assert owners == {nobody}
    assert (stat.S_IMODE(door.st_mode), door.st_uid, door.st_gid) == (0o640, nobody, grp.getgrnam("daemon").gr_gid)


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
def test_the_socket_has_the_permissions_that_are_configured(server, mode):
    server.cli("migrate")
    change(server, "lmtp", socket_mode=f"{mode:o}")
    server.start()
    assert stat.S_IMODE(server.socket.stat().st_mode) == mode
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(10)
        client.connect(str(server.socket))
        assert client.recv(100).startswith(b"220 mail.example.org LMTP")
    assert server.stop() == 0
    assert not server.socket.exists()


def test_logs_in_a_file(server):
    server.cli("migrate")
    path = server.directory / "lightmail.log"
    change(server, "logging", path=path, json="true", level="debug")
    server.start()
    path.rename(server.directory / "lightmail.log.1")
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)
    with socket.create_connection((HOST, server.imap), timeout=10) as client:
        client.recv(100)
    assert server.stop() == 0
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert records[-1]["message"] == "Server Shut Down."
    assert {"time", "level", "source", "message"} <= set(records[0])
    assert "ready" in (server.directory / "lightmail.log.1").read_text()


def test_the_reason_is_on_standard_error_wherever_the_log_is(server):
    change(server, "logging", path=server.directory / "lightmail.log")
    assert "run `lightmail migrate`" in refusal(server)
    assert "run `lightmail migrate`" in (server.directory / "lightmail.log").read_text()


def test_systemd_is_told(server):
    server.cli("migrate")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(server.directory / "notify"))
        manager.settimeout(60)
        server.launch(NOTIFY_SOCKET=str(server.directory / "notify"))
        assert manager.recv(1000) == b"READY=1"
        assert server.ready()
        assert server.stop() == 0
        assert manager.recv(1000) == b"STOPPING=1"


def test_the_plugin_is_found_where_it_is_installed(tmp_path):
    """Not from the checkout: `pip install` has put the dropin beside Twisted's own."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    where = "import importlib.util; print(importlib.util.find_spec('lightmail') is not None)"
    found = subprocess.run(
        [sys.executable, "-P", "-c", where], cwd=tmp_path, env=environ, capture_output=True, check=True
    )
    if found.stdout.strip() != b"True":
        pytest.skip("lightmail is not installed in this environment; `make test` installs it")
    listed = subprocess.run(
        [program("twistd"), "--help"], cwd=tmp_path, env=environ, capture_output=True, text=True, check=True
    )
    assert "lightmail" in listed.stdout
