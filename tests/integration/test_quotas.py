"""A server as users run it: who is nearly full is told, who is full is refused; the command line sets the bounds."""

from __future__ import annotations

import imaplib
import smtplib
import time
from collections.abc import Iterator

import pytest

from tests.integration.servers import HOST, MailServer

BODY = b"Message-ID: <%d@example.net>\r\nSubject: s\r\n\r\n" + b"x" * 3000 + b"\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    tmp_path = tmp_path_factory.mktemp("quotas")
    (tmp_path / "warning.txt").write_text("Subject: $percent % voll\n\n$address hat $messages von $message_limit.\n")
    server = MailServer(tmp_path, {"quota": {"check_seconds": 1, "warning_template": tmp_path / "warning.txt"}})
    server.cli("migrate")
    server.cli("domain", "add", "example.org", "--max-accounts", "1")
    server.account("ada@example.org", "secret", "--quota", "1M", "--quota-messages", "4")
    server.start()
    yield server
    server.kill()
    assert "Traceback" not in server.log(), server.log()[-5000:]


def test_an_account_near_its_limit_is_told_and_a_full_one_refused(server: MailServer) -> None:
    for number in range(3):
        server.deliver("ada@example.org", BODY % number)
    server.cli("account", "set", "ada@example.org", "--quota-messages", "3")
    client = imaplib.IMAP4(HOST, server.imap)
    client.login("ada@example.org", "secret")
    client.select()
    deadline = time.monotonic() + 20
    while client.noop() and client.response("EXISTS")[1][-1] != b"4" and time.monotonic() < deadline:
        time.sleep(0.1)
    fetched = client.fetch("4", "(BODY.PEEK[])")[1][0]
    assert isinstance(fetched, tuple)
    assert b"Subject: 100 % voll\r\n" in fetched[1]
    assert b"ada@example.org hat 3 von 3.\r\n" in fetched[1]
    with pytest.raises(smtplib.SMTPDataError) as refused:
        server.deliver("ada@example.org", BODY % 9)
    assert (refused.value.smtp_code, refused.value.smtp_error[:5]) == (452, b"4.2.2")
    assert client.append("INBOX", "", "", BODY % 9)[1][0].startswith(b"[OVERQUOTA]")
    client.logout()
    row = server.cli("account", "list").stdout.splitlines()[1].split()
    assert row[:4] == ["ada@example.org", "active", "4", "3"], "the warning counts"
    metrics = server.get("/metrics")[1].decode()
    assert "lightmail_quota_warnings_total 1.0" in metrics
    assert 'lightmail_quota_refusals_total{way="delivery"} 1.0' in metrics
    assert 'lightmail_quota_refusals_total{way="append"} 1.0' in metrics
    assert "ada@example.org uses 100 % of its quota and was told" in server.log()


def test_a_domain_s_limit_on_the_command_line(server: MailServer) -> None:
    done = server.cli("account", "add", "bob@example.org", "--password-stdin", stdin="x\n", check=False)
    assert done.returncode == 1
    assert done.stderr == "lightmail: bob@example.org: The domain has as many accounts as it may have.\n"
    assert server.cli("domain", "list").stdout.split()[3:] == ["example.org", "1", "1"]
    server.cli("domain", "set", "example.org", "--max-accounts", "2")
    server.account("bob@example.org")
    server.cli("domain", "set", "example.org", "--max-accounts", "0")
    assert server.cli("domain", "list").stdout.split()[3:] == ["example.org", "2", "-"]
    assert server.cli("domain", "set", "example.org", check=False).returncode == 2
