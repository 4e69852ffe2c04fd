"""The systemd unit, under a real systemd: it starts, reloads, tells of a bad file, and is started again if it hangs."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.machine import ROOT, Machine, missing

UNIT = ROOT / "lightmail.service"

CONFIG = """[system]
hostname = mail.example.org
[database]
driver = sqlite
[storage]
driver = directory
[tls]
cert = /var/lib/lightmail/tls/cert.pem
key = /var/lib/lightmail/tls/key.pem
[imap]
[pop3]
[lmtp]
socket = /run/lightmail/lmtp.sock
socket_group = postfix
[api]
"""
# What pip makes of the console scripts, from the source that lies on the machine.
SCRIPT = """#!/bin/sh
export PYTHONPATH=/usr/src/lightmail:/usr/lib/machine/packages
exec /usr/bin/python3 -c '{code}' "$@"
"""


@pytest.mark.skipif(not Path("/usr/bin/systemd-analyze").exists(), reason="no systemd-analyze")
def test_the_unit_is_well_formed_and_exposes_little(tmp_path: Path) -> None:
    unit = tmp_path / "lightmail.service"
    text = UNIT.read_text().replace("/opt/lightmail/bin/lightmail", "/bin/true")
    unit.write_text(text.replace("/opt/lightmail/bin/twistd", "/bin/true"))
    asked = ["systemd-analyze", "verify", "--man=no", str(unit)]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    asked = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(unit)]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    why = missing()
    if why is not None:
        pytest.skip(why)
    with Machine() as machine:
        _install(machine)
        yield machine


def _install(machine: Machine) -> None:
    scripts = {
        "lightmail": "from lightmail.cli import main; main()",
        "twistd": "from twisted.scripts.twistd import run; run()",
    }
    for name, code in scripts.items():
        write(machine, f"/opt/lightmail/bin/{name}", SCRIPT.format(code=code))
        machine.run("chmod", "755", f"/opt/lightmail/bin/{name}")
    write(machine, "/etc/lightmail/config.ini", CONFIG)
    machine.run("useradd", "--system", "--home-dir", "/var/lib/lightmail", "lightmail")
    machine.run("install", "-d", "-o", "lightmail", "-g", "lightmail", "/var/lib/lightmail", "/var/lib/lightmail/tls")
    key = ["-newkey", "rsa:2048", "-nodes", "-keyout", "/var/lib/lightmail/tls/key.pem"]
    cert = ["-x509", "-days", "9", "-subj", "/CN=mail.example.org", "-out", "/var/lib/lightmail/tls/cert.pem"]
    machine.run("openssl", "req", *key, *cert)
    machine.run("chown", "-R", "lightmail:lightmail", "/var/lib/lightmail/tls")
    for arguments in (("migrate",), ("domain", "add", "example.org")):
        machine.run("runuser", "-u", "lightmail", "--", "/opt/lightmail/bin/lightmail", *arguments)
    machine.run("install", "-m", "644", "/usr/src/lightmail/lightmail.service", "/etc/systemd/system/")
    # Its own times are a minute; nobody waits for that here.
    write(
        machine,
        "/etc/systemd/system/lightmail.service.d/quick.conf",
        "[Service]\nWatchdogSec=3s\nTimeoutAbortSec=1s\nRestartSec=0\n",
    )
    machine.run("systemctl", "daemon-reload")
    try:
        machine.run("systemctl", "start", "lightmail")
    except AssertionError:
        raise AssertionError(log(machine)[-5000:]) from None


def write(machine: Machine, path: str, text: str) -> None:
    file = Path(str(machine.files) + path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def main_pid(machine: Machine) -> int:
    return int(machine.run("systemctl", "show", "--value", "--property=MainPID", "lightmail"))


def log(machine: Machine) -> str:
    return machine.run("journalctl", "--quiet", "--output=cat", "--unit=lightmail")


def wait_for(machine: Machine, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, log(machine)[-3000:]
        time.sleep(0.1)


@pytest.mark.heavy
def test_it_serves_within_its_bounds(machine: Machine) -> None:
    assert machine.run("curl", "--silent", "http://127.0.0.1:8080/health") == "OK"
    named = ("--resolve", "mail.example.org:993:127.0.0.1", "imaps://mail.example.org/")  # it asks for a host, by SNI
    assert "IMAP4rev1" in machine.run("curl", "--silent", "--insecure", *named, "--request", "CAPABILITY")
    assert machine.run("stat", "--format=%a %G", "/run/lightmail/lmtp.sock") == "660 postfix\n"
    assert "Operation not permitted" not in log(machine)


@pytest.mark.heavy
def test_reload_says_what_is_wrong_and_the_server_goes_on(machine: Machine) -> None:
    before = main_pid(machine)
    write(machine, "/etc/lightmail/config.ini", CONFIG.replace("[imap]", "[imap]\nmax_failed_attempts = 7"))
    machine.run("systemctl", "reload", "lightmail")
    wait_for(machine, lambda: "[imap] max_failed_attempts = 7 from now on; it was 5" in log(machine))
    write(machine, "/etc/lightmail/config.ini", CONFIG.replace("[imap]", "[imap]\nprot = 1"))
    with pytest.raises(AssertionError, match=r"lightmail\.service failed"):
        machine.run("systemctl", "reload", "lightmail")
    assert "[imap] prot is an unknown key" in log(machine)
    write(machine, "/etc/lightmail/config.ini", CONFIG)
    machine.run("systemctl", "reload", "lightmail")
    assert machine.run("systemctl", "is-active", "lightmail") == "active\n"
    assert main_pid(machine) == before


@pytest.mark.heavy
def test_a_server_that_hangs_is_started_again(machine: Machine) -> None:
    before = main_pid(machine)
    machine.run("kill", "-STOP", str(before))
    state = ("systemctl", "show", "--value", "--property=SubState", "lightmail")
    wait_for(machine, lambda: main_pid(machine) not in (0, before) and machine.run(*state) == "running\n")
    assert machine.run("curl", "--silent", "http://127.0.0.1:8080/health") == "OK"
    assert int(machine.run("systemctl", "show", "--value", "--property=NRestarts", "lightmail")) == 1


@pytest.mark.heavy
def test_it_stops_in_order_and_in_time(machine: Machine) -> None:
    machine.run("systemctl", "stop", "lightmail")
    result = machine.run("systemctl", "show", "--value", "--property=Result", "lightmail")
    assert result == "success\n"
    assert log(machine).rstrip().count("lifecycle stopped") >= 1
