"""`lightmail import` and `export` as operators run them, beside a server at work; killed on the way, too."""

from __future__ import annotations

import imaplib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.servers import HOST, MailServer, environment


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    server = MailServer(tmp_path_factory.mktemp("moving"), {"imap": {"bind": HOST}})
    server.cli("migrate")
    server.cli("domain", "add", "example.org")
    for name in ("ada", "ben"):
        server.account(f"{name}@example.org")
    server.start()
    yield server
    assert server.stop() == 0
    assert "Traceback" not in server.log(), server.log()[-5000:]


@pytest.fixture(scope="module")
def maildir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 messages: 140 in INBOX, 60 in a folder, with flags, keywords and times."""
    root = tmp_path_factory.mktemp("source") / "Maildir"
    for number in range(200):
        box = root / ("cur" if number % 10 < 7 else ".Work.&AOk-t&AOk-/cur")
        box.mkdir(parents=True, exist_ok=True)
        (box.parent / "dovecot-keywords").write_text("0 later\n")
        path = box / f"{1_600_000_000 + number}.M1P1.old:2,{'S' if number % 2 else ''}{'a' if number % 5 else ''}"
        path.write_text(f"Subject: {number}\nFrom: a@example.net\n\nFrom me, number {number}.\n")
        os.utime(path, (1_600_000_000 + number, 1_600_000_000 + number))
    return root


def lightmail(server: MailServer, *arguments: str, status: int = 0, **environ: str) -> str:
    """What a verb prints; it must end with `status`."""
    done = subprocess.run(
        [sys.executable, "-m", "lightmail.cli", *arguments, "--config", str(server.config)],
        capture_output=True, text=True, timeout=120, check=False, cwd=server.directory, env=environment(**environ),
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout or done.stderr


def contents(server: MailServer, name: str) -> dict[str, list[tuple[bytes, frozenset[str], str]]]:
    """Every message of an account as a client sees it: octets, flags, INTERNALDATE, by mailbox."""
    found: dict[str, list[tuple[bytes, frozenset[str], str]]] = {}
    with imaplib.IMAP4(HOST, server.imap, timeout=30) as client:
        client.login(f"{name}@example.org", "secret")
        for line in client.list()[1]:
            mailbox = line.split(b' "/" ')[1].decode()
            client.select(mailbox, readonly=True)
            data = client.fetch("1:*", "(FLAGS INTERNALDATE BODY.PEEK[])")[1]
            found[mailbox] = [
                (
                    piece[1],
                    frozenset(flag.decode() for flag in imaplib.ParseFlags(piece[0])) - {"\\Recent"},
                    piece[0].split(b'INTERNALDATE "')[1][:26].decode(),
                )
                for piece in data
                if isinstance(piece, tuple)
            ]
    return found


# The fourth transaction is that of the second batch: the first two make the mailbox and subscribe to it.
@pytest.mark.parametrize("point", ["rows-written:4", "committed:4"])
def test_a_run_that_is_killed_is_gone_on_with_and_brings_nothing_twice(
    server: MailServer, maildir: Path, point: str
) -> None:
    into = point.partition(":")[0]
    command = ("import", "maildir", "ben@example.org", str(maildir), "--into", into)
    lightmail(server, *command, status=-signal.SIGKILL, LIGHTMAIL_KILL=point)
    report = json.loads(lightmail(server, *command, "--json"))
    assert report["known"] == (128 if into == "committed" else 64)
    assert (report["known"] + report["brought"], report["left"]) == (200, [])
    found = contents(server, "ben")
    inbox = [message[0].split()[1] for message in found[f"{into}/INBOX"]]
    assert inbox == [b"%d" % number for number in range(200) if number % 10 < 7]
    assert len(found[f"{into}/Work/&AOk-t&AOk-"]) == 60


def test_from_a_maildir_out_to_files_and_in_again(server: MailServer, maildir: Path, tmp_path: Path) -> None:
    command = ("import", "maildir", "ada@example.org", str(maildir))
    assert "brought 200 messages" in lightmail(server, *command)
    assert "brought 0 messages" in lightmail(server, *command)
    mine = contents(server, "ada")
    octets, flags, date = mine["INBOX"][1]
    assert octets == b"Subject: 1\r\nFrom: a@example.net\r\n\r\nFrom me, number 1.\r\n"
    assert flags == {"\\Seen", "later"}
    assert date == "13-Sep-2020 12:26:41 +0000"

    for kind in ("maildir", "mbox"):
        place = str(tmp_path / kind)
        assert "wrote 200 messages" in lightmail(server, "export", kind, "ada@example.org", place)
        command = ("import", kind, "ben@example.org", place, "--into", kind)
        assert "brought 200 messages" in lightmail(server, *command)
        copy = {name: found for name, found in contents(server, "ben").items() if name.startswith(f"{kind}/")}
        assert copy == {f"{kind}/{name}": found for name, found in mine.items()}
    assert "wrote 0 messages" in lightmail(server, "export", "maildir", "ada@example.org", str(tmp_path / "maildir"))


def test_from_another_server(server: MailServer, tmp_path: Path) -> None:
    for number in range(3):
        server.deliver("ada+x@example.org", b"Subject: %d\r\n\r\nHello.\r\n" % number)
    password = tmp_path / "password"
    password.write_text("secret\n")
    arguments = ("import", "imap", "ben@example.org", "localhost", "--user", "ada@example.org", "--into", "Copy")
    secure = (*arguments, "--port", str(server.imaps), "--password-file", str(password), "--mailbox", "INBOX")
    plain = (*arguments, "--port", str(server.imap), "--tls", "starttls", "--insecure", "--mailbox", "INBOX")
    assert "certificate is refused" in lightmail(server, *secure, status=2)
    report = json.loads(lightmail(server, *secure, "--ca-file", server.tls.cert, "--json"))
    assert (report["brought"] >= 3, report["left_count"]) == (True, 0)
    # The same source, whatever the way there.
    assert json.loads(lightmail(server, *plain, "--json", IMPORT_PASSWORD="secret"))["brought"] == 0
    assert contents(server, "ben")["Copy/INBOX"] == contents(server, "ada")["INBOX"]


def test_what_is_left_is_told_by_the_status(server: MailServer, tmp_path: Path) -> None:
    root = tmp_path / "Maildir" / "new"
    root.mkdir(parents=True)
    (root / "1.a").write_text("Subject: a\n\nb\n")
    (root / "2.b").write_text("")
    output = lightmail(server, "import", "maildir", "ada@example.org", str(root.parent), "--into", "Left", status=1)
    assert "left: new/2.b: it is empty" in output
    assert "brought 1 messages" in output
    assert "No such user" in lightmail(server, "import", "maildir", "nobody@example.org", str(root.parent), status=2)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    assert "not empty" in lightmail(server, "export", "maildir", "ada@example.org", str(tmp_path / "full"), status=2)


def test_a_message_that_is_damaged_is_left_out_and_told(server: MailServer, tmp_path: Path) -> None:
    server.account("fay@example.org")
    before = set((server.directory / "data" / "objects").rglob("*.zst"))
    server.deliver("fay@example.org", b"Subject: x\r\n\r\nHello.\r\n")
    (new,) = set((server.directory / "data" / "objects").rglob("*.zst")) - before
    server.deliver("fay@example.org", b"Subject: y\r\n\r\nHello.\r\n")
    octets = new.read_bytes()
    new.unlink()
    output = lightmail(server, "export", "mbox", "fay@example.org", str(tmp_path / "out"), status=1)
    new.write_bytes(octets)
    assert "left: INBOX: UID 1: " in output
    assert "wrote 1 messages" in output
    # What was incomplete is written again on request, and then it is whole.
    output = lightmail(server, "export", "mbox", "fay@example.org", str(tmp_path / "out"), "--force")
    assert "wrote 2 messages" in output
