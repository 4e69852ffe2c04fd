"""What a new operator reads is done word by word, on a Debian machine of its own: real MariaDB, S3, Postfix, curl.

Each page goes on where the one before it ended, as an operator would, and `machine` is the one they are all done on.
What stands in for the world outside is said in `tests.support.machine`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.machine import ROOT, Answer, Machine, missing
from tests.support.pages import read
from tests.support.walkthrough import PASSWORD, Walk, walk

DOCS = ROOT / "docs"
PROMETHEUS = "/etc/prometheus/prometheus.yml"
INSTEAD = {
    # A stand-in has been put in its place (tests/support/machine/layer).
    "apt-get install -y certbot": "",
    # Nobody wants to wait 15 seconds here.
    "systemctl enable prometheus": f"systemctl enable prometheus; sed -i 's/: 15s/: 1s/' {PROMETHEUS}",
}


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    why = missing("prometheus")
    if why is not None:
        pytest.skip(why)
    with Machine() as machine:
        yield machine


@pytest.fixture(scope="module")
def operations(machine: Machine) -> Walk:
    """docs/operations.md, from nothing to its end."""
    return walk(machine, DOCS / "operations.md", instead=INSTEAD)


def message(machine: Machine, address: str, number: int) -> str:
    """A message of the account's INBOX, read over TLS as the pages do."""
    asked = ("curl", "--silent", "--show-error", "--user", f"{address}:{PASSWORD}")
    return machine.run(*asked, f"imaps://mail.example.org/INBOX;MAILINDEX={number}")


# --- docs/operations.md ---


def test_nothing_is_bad_after_the_first_start(operations):
    said = operations.printed("lightmail doctor")
    assert ", 0 bad" in said
    assert "LightMail listens on 0.0.0.0 port 993" in said
    assert "the user postfix may deliver there" in said


def test_mail_arrives_over_smtp_and_is_read_over_tls(operations):
    assert "It works." in operations.printed("'imaps://mail.example.org/INBOX;MAILINDEX=1'")


def test_what_was_deleted_comes_back(operations):
    assert "Hello" in operations.printed("undelete list")
    assert "restored 1" in operations.printed("undelete restore")


def test_scripts_have_what_their_token_allows(operations):
    assert '"address":"ada@example.org"' in operations.printed("--header").replace(": ", ":")
    assert "cleo@example.org" in operations.printed("account list example.org")


def test_prometheus_scrapes(operations):
    assert "SUCCESS" in operations.printed("promtool check config")
    assert '"job":"lightmail"' in operations.printed("api/v1/query")


def test_every_day_s_verbs_say_what_is(operations):
    assert "2 messages would come back" in operations.printed("recover --dry-run")
    assert "delivered from <grace@example.net> to <ada@example.org>" in operations.printed("lightmail trace")
    assert "account.add" in operations.printed("lightmail audit --actor")
    assert "all holds" in operations.printed("lightmail verify")
    assert "reloaded" in operations.printed("--lines 5")


def test_the_server_may_do_no_more_than_it_must(machine, operations):
    """It runs as its own user, without a privilege but for low ports, and can write to its own directories only."""
    pid = machine.run("systemctl", "show", "--value", "--property=MainPID", "lightmail").strip()
    status = (machine.files / "proc" / pid / "status").read_text()
    low_ports = 1 << 10
    assert f"CapEff:\t{low_ports:016x}" in status
    assert "NoNewPrivs:\t1" in status
    user = machine.run("id", "--user", "lightmail").strip()
    assert f"Uid:\t{user}\t{user}\t{user}\t{user}" in status
    inside = ("nsenter", "--target", pid, "--mount", "sh", "-c")
    machine.run(*inside, "touch /var/lib/lightmail/ours && rm /var/lib/lightmail/ours")
    machine.run(*inside, "! touch /etc/lightmail/config.ini /usr/theirs 2>/dev/null")


# --- the other pages, where that one ended ---


@pytest.mark.heavy
def test_the_postfix_page(machine, operations):
    walk(machine, DOCS / "postfix.md")
    assert "Subject: A try" in message(machine, "ada@example.org", 2)
    # A stranger's host: whom LightMail does not know is refused while it is connected, whom it knows is not.
    machine.run("postconf", "-e", "mynetworks = 192.0.2.0/24")
    machine.run("systemctl", "reload", "postfix")
    asked = "curl --verbose smtp://127.0.0.1/example.net --mail-from grace@example.net --upload-file /tmp/hello.eml"
    until = "for i in $(seq 60); do {} 2>&1 | grep '{}' && exit; sleep 0.5; done; exit 1"
    machine.run("sh", "-c", until.format(f"{asked} --mail-rcpt nobody@example.org", "550 5.1.1"))
    machine.run("sh", "-c", until.format(f"{asked} --mail-rcpt ben@example.org", "250 2.0.0 Ok: queued"))


@pytest.mark.heavy
def test_the_upgrade_page(machine, operations):
    before = message(machine, "ben@example.org", 1)
    done = walk(machine, DOCS / "upgrade.md")
    assert "all holds" in done.printed("lightmail verify")
    machine.run("curl", "--silent", "--fail", "http://127.0.0.1:8080/ready")
    assert message(machine, "ben@example.org", 1) == before


# --- README.md, on a machine with nothing but a checkout ---


@pytest.mark.heavy
def test_the_readme():
    why = missing("make", "zstd")
    if why is not None:
        pytest.skip(why)
    checkout = "/usr/src/lightmail"
    # The first runs already, and the second is what runs this.
    two_commands = {line: "" for line in read(ROOT / "README.md").lines.values() if line.startswith("make ")}
    with Machine(checkout) as machine:
        demo = machine.at_a_terminal("env", "-C", checkout, "make", "run")
        try:
            name, password = demo.wait_for(r"^demo account: (\S+) password: (\S+)$", 120).groups()
            url = demo.wait_for(r"^Admin web: (\S+) name: \S+ password: \S+$", 10)[1]
            assert "Sign in" in machine.run("curl", "--silent", "--fail", "--location", url)
            answers = [Answer(f"Enter host password for user '{name}':", password)]
            done = walk(machine, ROOT / "README.md", directory=checkout, instead=two_commands, answers=answers)
            demo.interrupt(60)
        finally:
            demo.kill()
    assert "Traceback" not in demo.output
    assert "Subject: Welcome to LightMail" in done.printed("imaps://127.0.0.1:1993")
    assert "ada@example.org   active" in done.printed("account list")
    assert "Return-Path: <welcome@example.org>" in done.printed("zstd -dc")
