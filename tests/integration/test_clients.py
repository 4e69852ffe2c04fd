"""Real mail clients, end to end: mail comes in over LMTP, goes out over IMAP and POP3, octet by octet."""

from __future__ import annotations

import imaplib
import mailbox
import os
import poplib
import ssl
import subprocess
from pathlib import Path

import imapclient
import pytest

from tests.integration.conditions import Servers, open_servers
from tests.integration.corpus import assert_same, message, number_of
from tests.integration.servers import HOST, MailServer
from tests.support.conditions import CONDITIONS, DAMAGED_CHUNKS, Condition

PASSWORD = "secret"
COUNT = 10


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(None, id="as-configured"),
        *(
            pytest.param(each, marks=pytest.mark.heavy, id=each.name)
            for each in CONDITIONS
            if each is not DAMAGED_CHUNKS
        ),
    ],
)
def production(request, s3_server):
    """The server that others use too; and again, servers under each condition."""
    condition: Condition | None = request.param
    if condition is None:
        yield request.getfixturevalue("production")
    else:
        with open_servers(condition, s3_server) as servers:
            yield servers


@pytest.fixture
def filled(production: MailServer, account: str) -> str:
    """An account with ten messages."""
    for number in range(COUNT):
        production.deliver(account, message(number))
    if isinstance(production, Servers):
        production.settle(account)
    return account


def run(*command: str | Path, cwd: Path, status: int = 0, **environ: str) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, "HOME": str(cwd), "LC_ALL": "C.UTF-8", **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=90,
        check=False,
    )
    output = (done.stdout + done.stderr).decode("utf-8", "replace")
    assert done.returncode == status, f"{command[0]} ended with {done.returncode}: {output[-2000:]}"
    return done.stdout.decode("utf-8", "surrogateescape")


def trusting(server: MailServer) -> ssl.SSLContext:
    """A client's context that trusts the server's own certificate, and checks it."""
    return ssl.create_default_context(cafile=server.tls.cert)


def imap(server: MailServer, account: str) -> imaplib.IMAP4:
    client = imaplib.IMAP4(HOST, server.imap, timeout=30)
    client.login(account, PASSWORD)
    return client


def exists(server: MailServer, account: str, name: str = "INBOX", criterion: str = "ALL") -> int:
    client = imap(server, account)
    assert client.select(name, readonly=True)[0] == "OK"
    found = client.search(None, criterion)[1][0]
    client.logout()
    return len(found.split())


def test_imaplib(production, filled):
    client = imaplib.IMAP4_SSL(HOST, production.imaps, ssl_context=trusting(production), timeout=30)
    client.login(filled, PASSWORD)
    assert client.select("INBOX") == ("OK", [b"10"])
    for number in range(COUNT):
        octets = client.fetch(str(number + 1), "(BODY.PEEK[])")[1][0][1]
        assert_same(octets, number)
        assert octets.startswith(b"Return-Path: <sender@example.net>\r\nReceived: ")
        assert octets.endswith(message(number))
    assert client.search(None, "UNSEEN")[1] == [b"1 2 3 4 5 6 7 8 9 10"]
    listing = client.uid("FETCH", "1:*", "(UID FLAGS RFC822.SIZE INTERNALDATE ENVELOPE BODYSTRUCTURE)")[1]
    assert len([line for line in listing if b"ENVELOPE" in (line[0] if isinstance(line, tuple) else line)]) == COUNT
    assert client.create("Work/Büro".encode().decode("ascii", "ignore"))[0] == "OK"
    assert client.copy("1:3", "Archive")[0] == "OK"
    assert client.store("2", "+FLAGS", r"(\Deleted $Important)")[0] == "OK"
    assert client.expunge() == ("OK", [b"2"])
    assert client.rename("Archive", "Attic")[0] == "OK"
    assert client.append("Attic", r"(\Seen)", None, message(77))[0] == "OK"
    client.select("Attic")
    assert client.search(None, "SEEN")[1] == [b"4"]
    assert client.close()[0] == "OK"
    assert client.logout()[0] == "BYE"


def test_imaplib_with_starttls(production, filled):
    client = imaplib.IMAP4(HOST, production.imap, timeout=30)
    assert client.starttls(trusting(production))[0] == "OK"
    client.login(filled, PASSWORD)
    assert client.select("INBOX") == ("OK", [b"10"])
    assert client.logout()[0] == "BYE"


def test_imapclient(production, filled):
    client = imapclient.IMAPClient(HOST, production.imap, ssl=False, timeout=30)
    client.login(filled, PASSWORD)
    special = {name: flags for flags, _, name in client.list_folders()}
    assert b"\\Sent" in special["Sent"]
    client.create_folder("Été/Été")
    assert "Été/Été" in {name for _, _, name in client.list_folders()}
    assert client.select_folder("INBOX")[b"EXISTS"] == COUNT
    uids = client.search(["UNSEEN"])
    fetched = client.fetch(uids, ["ENVELOPE", "BODYSTRUCTURE", "FLAGS", "BODY.PEEK[]"])
    for found in fetched.values():
        number = number_of(found[b"BODY[]"])
        assert_same(found[b"BODY[]"], number)
        assert found[b"ENVELOPE"].message_id == f"<{number}@corpus.example.net>".encode()
        assert found[b"ENVELOPE"].subject == f"number {number}".encode()
        assert found[b"BODYSTRUCTURE"].is_multipart == (number % 5 >= 3)
    client.add_flags(uids[:2], [imapclient.SEEN])
    assert client.search("UNSEEN") == uids[2:]
    client.move(uids[:2], "Été/Été")
    assert len(client.search("ALL")) == COUNT - 2
    client.idle()
    production.deliver(filled, message(COUNT))
    assert (COUNT - 1, b"EXISTS") in client.idle_check(timeout=20)
    client.idle_done()
    client.logout()


def test_poplib(production, filled):
    def login() -> poplib.POP3:
        client = poplib.POP3(HOST, production.pop3, timeout=30)
        client.stls(trusting(production))
        client.user(filled)
        client.pass_(PASSWORD)
        return client

    client = login()
    assert client.stat()[0] == COUNT
    uids = [line.split()[1] for line in client.uidl()[1]]
    for number in range(COUNT):
        assert_same(b"\r\n".join(client.retr(number + 1)[1]) + b"\r\n", number)
    assert client.top(1, 0)[0].startswith(b"+OK")
    client.dele(1)
    client.rset()
    client.dele(2)
    client.quit()
    client = login()
    assert [line.split()[1] for line in client.uidl()[1]] == uids[:1] + uids[2:]
    client.quit()


def test_curl_imap(production, filled, needs, tmp_path):
    base = ["curl", "--silent", "--show-error", "--user", f"{filled}:{PASSWORD}"]
    needs("curl", "curl")
    url = f"imap://{HOST}:{production.imap}"
    assert '"/" Sent' in run(*base, f"{url}/", cwd=tmp_path)
    for number in range(COUNT):
        octets = run(*base, f"{url}/INBOX;UID={number + 1}", cwd=tmp_path)
        assert_same(octets.encode("utf-8", "surrogateescape"), number)
    assert "Subject: number 0" in run(*base, f"{url}/INBOX;UID=1;SECTION=HEADER", cwd=tmp_path)
    assert "* SEARCH 1 2 3" in run(*base, f"{url}/INBOX?ALL", cwd=tmp_path)
    assert "10 EXISTS" in run(*base, url, "-X", "EXAMINE INBOX", cwd=tmp_path)
    run(*base, f"{url}/INBOX", "-X", r"STORE 3 +FLAGS (\Flagged)", cwd=tmp_path)
    assert exists(production, filled, criterion="FLAGGED") == 1
    (tmp_path / "up.eml").write_bytes(message(33))
    run(*base, f"{url}/Drafts", "-T", tmp_path / "up.eml", cwd=tmp_path)
    assert exists(production, filled, "Drafts") == 1
    secure = [*base, "--cacert", production.tls.cert, f"imaps://localhost:{production.imaps}/INBOX;MAILINDEX=2"]
    assert_same(run(*secure, cwd=tmp_path).encode("utf-8", "surrogateescape"), 1)


def test_curl_pop3(production, filled, needs, tmp_path):
    base = ["curl", "--silent", "--show-error", "--user", f"{filled}:{PASSWORD}"]
    needs("curl", "curl")
    url = f"pop3://{HOST}:{production.pop3}"
    assert len(run(*base, f"{url}/", cwd=tmp_path).splitlines()) == COUNT
    assert_same(run(*base, f"{url}/2", cwd=tmp_path).encode("utf-8", "surrogateescape"), 1)
    assert len(run(*base, f"{url}/", "-X", "UIDL", cwd=tmp_path).splitlines()) == COUNT
    run(*base, f"{url}/1", "-X", "DELE", "-I", cwd=tmp_path)
    assert exists(production, filled) == COUNT - 1
    secure = [*base, "--cacert", production.tls.cert, f"pop3s://localhost:{production.pop3s}/1"]
    assert_same(run(*secure, cwd=tmp_path).encode("utf-8", "surrogateescape"), 1)


MBSYNC = """\
IMAPAccount lightmail
Host localhost
Port {port}
User {user}
Pass {password}
SSLType IMAPS
CertificateFile {certificate}

IMAPStore far
Account lightmail

MaildirStore near
Path {root}/
Inbox {root}/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Remove Both
Expunge Both
SyncState *
CopyArrivalDate yes
"""


def maildir(path: Path) -> list[Path]:
    return sorted(file for part in ("cur", "new") for file in (path / part).iterdir())


def test_mbsync_both_ways(production, filled, needs, tmp_path):
    needs("mbsync", "isync")
    near = tmp_path / "near"
    near.mkdir()
    rc = tmp_path / "mbsyncrc"
    rc.write_text(
        MBSYNC.format(port=production.imaps, user=filled, password=PASSWORD, certificate=production.tls.cert, root=near)
    )

    def sync() -> None:
        run("mbsync", "-c", rc, "-a", cwd=tmp_path)

    sync()
    files = maildir(near / "INBOX")
    assert sorted(number_of(file.read_bytes()) for file in files) == list(range(COUNT))
    for file in files:
        assert_same(file.read_bytes(), number_of(file.read_bytes()))
    # Here one is read, one trashed and one new; there one is flagged, one new, and a mailbox.
    assert all("S" not in file.name.rpartition(",")[2] for file in files)
    files[0].rename(near / "INBOX" / "cur" / (files[0].name.partition(":")[0] + ":2,S"))
    files[1].rename(near / "INBOX" / "cur" / (files[1].name.partition(":")[0] + ":2,T"))
    (near / "INBOX" / "new" / "1.2.local").write_bytes(message(40).replace(b"\r\n", b"\n"))
    production.deliver(filled, message(41))
    client = imap(production, filled)
    client.select("INBOX")
    client.store("8", "+FLAGS", r"(\Flagged)")
    client.create("FromServer")
    client.logout()
    sync()
    assert exists(production, filled) == COUNT - 1 + 2
    assert exists(production, filled, criterion="SEEN") == 1
    files = maildir(near / "INBOX")
    assert len(files) == COUNT - 1 + 2
    assert sum("F" in file.name.rpartition(",")[2] for file in files) == 1
    assert (near / "FromServer").is_dir()
    sync()
    assert maildir(near / "INBOX") == files


@pytest.mark.parametrize("protocol", ["pop3", "imap"])
def test_fetchmail(production, filled, needs, tmp_path, protocol):
    needs("fetchmail", "fetchmail")
    box = tmp_path / "box"
    rc = tmp_path / "fetchmailrc"
    mda = f"(echo 'From x@y Thu Jan  1 00:00:00 2026'; sed 's/^From />From /'; echo) >>{box}"
    rc.write_text(
        f"set no bouncemail\n"
        f"poll localhost port {getattr(production, protocol + 's')} proto {protocol} timeout 30\n"
        f'user "{filled}" password "{PASSWORD}" is here ssl sslcertck sslcertfile "{production.tls.cert}"\n'
        f'nokeep fetchall mda "{mda}"\n'
    )
    rc.chmod(0o600)
    # A pid file of its own: root's is one for the whole host.
    command = ("fetchmail", "-f", rc, "--nosyslog", "--nodetach", "--pidfile", tmp_path / "pid", "--auth", "password")
    run(*command, cwd=tmp_path, FETCHMAILHOME=str(tmp_path))
    with_all = mailbox.mbox(str(box))
    numbers = sorted(number_of(bytes(found)) for found in with_all)
    with_all.close()
    assert numbers == list(range(COUNT))
    assert exists(production, filled) == 0
    run(*command, cwd=tmp_path, status=1, FETCHMAILHOME=str(tmp_path))  # 1: there was no mail


MUTT = """\
set imap_user="{user}"
set imap_pass="{password}"
set ssl_starttls=yes
set ssl_force_tls=yes
set ssl_ca_certificates_file="{certificate}"
set certificate_file="{certificate}"
set folder="imap://localhost:{port}/"
set confirmappend=no
set confirmcreate=no
set delete=yes
set quit=yes
set wait_key=no
set mbox_type=Maildir
set header_cache=""
set sort=mailbox-order
"""


def test_mutt(production, filled, needs, tmp_path):
    """All are copied to a Maildir, two deleted, one flagged: keys pushed into mutt on a pseudo terminal."""
    needs("mutt", "mutt")
    needs("script", "bsdutils")
    out = tmp_path / "copied"
    (tmp_path / "muttrc").write_text(
        MUTT.format(user=filled, password=PASSWORD, certificate=production.tls.cert, port=production.imap)
    )
    keys = (
        f"<tag-pattern>~A<enter><tag-prefix><copy-message>{out}<enter><untag-pattern>~A<enter>"
        "<delete-pattern>~m 1-2<enter><jump>5<enter><flag-message><sync-mailbox><quit>"
    )
    (tmp_path / "keys").write_text(f"push '{keys}'\n")
    inner = f"mutt -n -F muttrc -f imap://localhost:{production.imap}/INBOX -e 'source keys'"
    run("script", "-qec", inner, "/dev/null", cwd=tmp_path, TERM="xterm", LINES="40", COLUMNS="120")
    files = maildir(out)
    assert sorted(number_of(file.read_bytes()) for file in files) == list(range(COUNT))
    for file in files:
        assert_same(file.read_bytes(), number_of(file.read_bytes()))
    assert exists(production, filled) == COUNT - 2
    assert exists(production, filled, criterion="FLAGGED") == 1
