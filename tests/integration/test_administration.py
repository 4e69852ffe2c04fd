"""The verbs of `lightmail` on a real store, each a process of its own, beside a server that runs."""

from __future__ import annotations

import base64
import imaplib
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from lightmail.auth import totp
from tests.integration.corpus import message
from tests.integration.servers import HOST, ROOT, MailServer, environment


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    server = MailServer(tmp_path_factory.mktemp("administration"))
    migrations = sorted(path.name for path in (ROOT / "sql" / "sqlite").glob("*.sql"))
    assert server.cli("migrate").stdout.splitlines() == [f"applied {name}" for name in migrations]
    assert server.cli("migrate").stdout == "the schema is up to date\n"
    server.cli("domain", "add", "example.org")
    server.start()
    yield server
    assert server.stop() == 0
    assert "Traceback" not in server.log(), server.log()[-5000:]


def refused(server: MailServer, *arguments: str, stdin: str = "") -> str:
    """The one line with which a verb fails."""
    done = server.cli(*arguments, stdin=stdin, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("lightmail: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def can_log_in(server: MailServer, name: str, password: str) -> bool:
    client = imaplib.IMAP4(HOST, server.imap, timeout=30)
    try:
        client.login(name, password)
    except imaplib.IMAP4.error:
        client.shutdown()
        return False
    client.logout()
    return True


def test_domains(server):
    server.cli("domain", "add", "Example.NET")
    assert server.cli("domain", "list").stdout.split() == [
        *("DOMAIN", "ACCOUNTS", "LIMIT"),
        *("example.net", "0", "-", "example.org", "0", "-"),
    ]
    refused(server, "domain", "add", "example.net")
    for wrong in ("not a domain", "a.-hyphen.example", "hyphen-.example", "a..b", "money$.example", ""):
        refused(server, "domain", "add", wrong)
    server.cli("domain", "add", "Bücher.example")
    assert "bücher.example: It exists" in refused(server, "domain", "add", "bücher.example")
    refused(server, "domain", "add", "xn--bcher-kva.example")
    server.cli("domain", "delete", "bücher.example")
    server.account("someone@example.net")
    refused(server, "domain", "delete", "example.net")
    server.cli("account", "delete", "someone@example.net", "--yes")
    server.cli("domain", "delete", "example.net")
    refused(server, "domain", "delete", "example.net")


def test_an_account_from_first_to_last(server):
    server.account("ada@example.org", "first", "--quota", "10G", "--quota-messages", "5")
    refused(server, "account", "add", "ada@example.org", "--password-stdin", stdin="x\n")
    line = refused(server, "account", "add", "ada@nowhere.example", "--password-stdin", stdin="x\n")
    assert line == "lightmail: ada@nowhere.example: There is no such domain.\n"
    refused(server, "account", "add", "nobody", "--password-stdin", stdin="x\n")
    assert can_log_in(server, "ada@example.org", "first")
    server.deliver("ada@example.org", message(0))
    assert server.cli("account", "list", "EXAMPLE.org.").stdout == server.cli("account", "list").stdout
    assert "no such domain" in refused(server, "account", "list", "nowhere.example")
    line = server.cli("account", "list", "example.org").stdout.splitlines()[1].split()
    assert line[:4] == ["ada@example.org", "active", "1", "5"]
    assert line[5] == "10G"

    server.cli("account", "passwd", "ada@example.org", "--password-stdin", stdin="zweites Paßwort\n")
    assert not can_log_in(server, "ada@example.org", "first")
    server.cli("account", "set", "ada@example.org", "--quota", "0")
    assert server.cli("account", "list").stdout.splitlines()[1].split()[5] == "-"
    server.cli("account", "passwd", "ada@example.org", "--password-stdin", stdin="third\n")
    server.cli("account", "disable", "ada@example.org")
    assert "disabled" in server.cli("account", "list").stdout
    assert not can_log_in(server, "ada@example.org", "third")
    server.cli("account", "enable", "ada@example.org")
    assert can_log_in(server, "ada@example.org", "third")
    server.cli("account", "delete", "ada@example.org", "--yes")
    assert not can_log_in(server, "ada@example.org", "third")
    for verb in ("passwd", "disable", "enable", "delete", "set"):
        more = {"passwd": ["--password-stdin"], "delete": ["--yes"], "set": ["--quota", "1"]}.get(verb, [])
        refused(server, "account", verb, "ada@example.org", *more, stdin="x\n")


def test_what_an_account_is_set_to(server):
    server.account("fay@example.org", "secret", "--full-name", " Fay \u00d6sterreich ")
    server.cli("account", "set", "fay@example.org", "--quota", "1M")
    shown = json.loads(server.cli("account", "show", "fay@example.org", "--json").stdout)
    known = {"address": "fay@example.org", "full_name": "Fay \u00d6sterreich", "active": True, "quota_octets": 1 << 20}
    assert known.items() <= shown.items()
    assert json.loads(server.cli("account", "list", "--search", "FAY@", "--json").stdout) == [shown]
    lines = dict(
        line.split(maxsplit=1) for line in server.cli("account", "show", "fay@example.org").stdout.splitlines()
    )
    assert (lines["name"], lines["octets"], lines["state"]) == ("Fay \u00d6sterreich", "0 of 1M", "active")
    assert "full name" in refused(server, "account", "set", "fay@example.org", "--full-name", "a\nb")
    refused(server, "account", "show", "nobody@example.org")


@pytest.mark.heavy
def test_what_its_owner_enters_in_a_client(server):
    server.account("eva@example.org")
    table = server.cli("account", "settings", "Eva@example.org").stdout.splitlines()
    assert table[0].split() == ["USE", "SERVER", "PORT", "SECURITY", "USER", "NAME"]
    assert table[-1].split()[:2] == ["SMTP", "mail.example.org"]
    told = json.loads(server.cli("account", "settings", "eva@example.org", "--json").stdout)
    assert (told["user_name"], told["servers"][0]["protocol"]) == ("eva@example.org", "imap")
    command = [sys.executable, "-m", "lightmail.cli", "account", "settings", "eva@example.org", "--profile"]
    command += ["--config", str(server.config)]
    made = subprocess.run(command, capture_output=True, check=True, cwd=server.directory, env=environment())
    assert b"EmailTypeIMAP" in made.stdout
    refused(server, "account", "settings", "nobody@example.org")


@pytest.mark.heavy
def test_what_can_come_back(server):
    server.account("zoe@example.org")
    server.cli("account", "delete", "zoe@example.org", "--yes")
    listed = json.loads(server.cli("account", "deleted", "example.org", "--json").stdout)
    assert listed[0]["address"] == "zoe@example.org"
    assert "zoe@example.org" in server.cli("account", "deleted").stdout
    assert server.cli("account", "restore", "zoe@example.org").stdout == "restored zoe@example.org with 0 messages\n"
    assert "zoe@example.org" not in server.cli("account", "deleted").stdout
    assert "no such domain" in refused(server, "account", "deleted", "nowhere.example")
    shown = dict(line.split(maxsplit=1) for line in server.cli("domain", "show", "example.org").stdout.splitlines())
    assert (shown["DNS"], shown["Postfix"]) == (
        "example.org. MX 10 mail.example.org.", "virtual_mailbox_domains = example.org",
    )  # fmt: skip
    refused(server, "domain", "show", "nowhere.example")


@pytest.mark.heavy
def test_an_administrator_s_app_is_set_up_and_his_browsers_signed_out(server):
    server.cli("admin", "add", "root", "--password-stdin", stdin="correct horse battery\n")
    command = [sys.executable, "-m", "lightmail.cli", "admin", "add-codes", "root", "--config", str(server.config)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes, text=True, cwd=server.directory, env=environment()) as asking:
        key = asking.stdout.readline().removeprefix("key: ").replace(" ", "").strip()
        assert f"secret={key}" in asking.stdout.readline()
        code = totp.code(base64.b32decode(key), int(time.time()) // totp.STEP_SECONDS)
        asking.communicate(f"{code}\n", timeout=60)
    assert asking.returncode == 0
    assert server.cli("admin", "list").stdout.splitlines()[1].split()[:3] == ["root", "active", "yes"]
    assert "not the code" in server.cli("admin", "add-codes", "root", stdin="000 000 0\n", check=False).stderr
    server.cli("admin", "sign-out", "root")
    assert "administrator.sign_out" in server.cli("audit", "--limit", "1").stdout
    refused(server, "admin", "sign-out", "nobody")


def test_app_passwords(server):
    server.account("gus@example.org", "secret")
    phone = server.cli("app-password", "add", "gus@example.org", "phone").stdout.strip()
    kiosk = server.cli("app-password", "add", "gus@example.org", "kiosk", "--protocol", "pop3").stdout.strip()
    assert "of that name" in refused(server, "app-password", "add", "gus@example.org", "kiosk")
    assert can_log_in(server, "gus@example.org", phone)
    assert can_log_in(server, "gus@example.org", "secret")
    assert not can_log_in(server, "gus@example.org", kiosk)
    rows = server.cli("app-password", "list", "gus@example.org").stdout.splitlines()
    assert [row.split()[1:3] for row in rows] == [["NAME", "PROTOCOLS"], ["kiosk", "pop3"], ["phone", "imap"]]
    assert phone not in str(rows)
    server.cli("app-password", "revoke", "gus@example.org", "phone")
    assert not can_log_in(server, "gus@example.org", phone)
    assert "no such app password" in refused(server, "app-password", "revoke", "gus@example.org", "phone")
    refused(server, "app-password", "list", "nobody@example.org")


def test_who_loses_the_right_to_be_there_is_sent_away(server):
    verbs = {
        "disable": ("account", "disable", "a@away.example"),
        "passwd": ("account", "passwd", "b@away.example", "--password-stdin"),
        "delete": ("account", "delete", "c@away.example", "--yes"),
        "revoke": ("app-password", "revoke", "d@away.example", "phone"),
    }
    addresses = [f"{name}@away.example" for name in "abcde"]
    server.populate(*addresses)
    server.cli("app-password", "add", "d@away.example", "phone")
    clients = [imaplib.IMAP4(HOST, server.imap, timeout=30) for _ in addresses]
    for client, address in zip(clients, addresses, strict=True):
        client.login(address, "secret")
    for verb in verbs.values():
        server.cli(*verb, stdin="another\n")
    for client in clients[:4]:
        assert client.readline().startswith(b"* BYE")
        client.shutdown()
    assert clients[4].noop()[0] == "OK", "whose account nobody touched"
    clients[4].logout()


def test_aliases(server):
    server.account("ben@example.org")
    server.account("cleo@example.org")
    server.cli("alias", "add", "both@example.org", "ben@example.org")
    server.cli("alias", "add", "both@example.org", "cleo@example.org")
    server.deliver("both@example.org", message(1))
    rows = [line.split() for line in server.cli("alias", "list").stdout.splitlines()[1:]]
    assert rows == [["both@example.org", "ben@example.org"], ["both@example.org", "cleo@example.org"]]
    counts = {line.split()[0]: line.split()[2] for line in server.cli("account", "list").stdout.splitlines()[1:]}
    assert counts["ben@example.org"] == counts["cleo@example.org"] == "1"
    assert server.cli("alias", "list", "Example.ORG").stdout == server.cli("alias", "list").stdout
    assert server.cli("alias", "list", "--search", "BO").stdout == server.cli("alias", "list").stdout
    assert server.cli("alias", "list", "--search", "ben").stdout.splitlines()[1:] == []
    refused(server, "alias", "list", "nowhere.example")
    server.cli("alias", "delete", "both@example.org", "ben@example.org")
    server.cli("alias", "delete", "both@example.org")
    assert server.cli("alias", "list").stdout.splitlines()[1:] == []
    refused(server, "alias", "delete", "both@example.org")


def test_a_password_is_never_an_empty_line(server):
    assert "empty" in refused(server, "account", "add", "dan@example.org", "--password-stdin", stdin="\n")
    assert "--password-stdin" in refused(server, "account", "add", "dan@example.org", stdin="x\n")


def test_asking_before_a_deletion(server):
    server.account("eve@example.org")
    done = server.cli("account", "delete", "eve@example.org", stdin="n\n", check=False)
    assert done.returncode == 1
    assert "eve@example.org" in server.cli("account", "list").stdout


def test_an_embedded_store_needs_no_migrate(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "lightmail.cli", "domain", "list"],
        cwd=tmp_path,
        env=environment(LIGHTMAIL_CONFIG=""),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "DOMAIN  ACCOUNTS  LIMIT\n"), done.stderr
    assert os.listdir(tmp_path) == ["var"]
    # The rows hold password hashes.
    assert stat.S_IMODE((tmp_path / "var").stat().st_mode) == 0o750
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "var").glob("lightmail.sqlite*")} == {0o600}
