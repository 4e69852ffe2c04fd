"""A new operator, told nothing, at a running server: domain, account, phone, a message that did not arrive, one that
was deleted, and whether the server is healthy."""

from __future__ import annotations

import imaplib
import smtplib
import ssl
from collections.abc import Iterator

import pytest

from tests.integration.servers import HOST, MailServer
from tests.support import mariadb
from tests.support.seaweedfs import SeaweedFS
from tests.support.stack import EMBEDDED, MARIADB_S3, open_stack
from tests.web.chromium import Chromium
from tests.web.firefox import Firefox
from tests.web.operator import Operator
from tests.web.screens import DESKTOP, SCREENS, Driver, Screen

PASSWORD = "correct horse battery"
MESSAGE = b"From: Greta <greta@example.net>\r\nTo: ada@%b\r\nSubject: Holiday pictures\r\n\r\nHere they are.\r\n"


@pytest.fixture(scope="module")
def server(s3: SeaweedFS | None) -> Iterator[MailServer]:
    """A server as it is after the installation, with the first administrator."""
    if s3 is not None and not mariadb.available():
        pytest.skip("no MariaDB: install Debian's mariadb-server")
    with open_stack(EMBEDDED if s3 is None else MARIADB_S3, s3, domains=(), users=()) as stack:
        running = stack.server
        running.cli("admin", "add", "root", "--password-stdin", stdin=PASSWORD + "\n")
        running.start()
        yield running
        status, log = running.stop(), running.log()
    assert status == 0
    assert "Traceback" not in log, log[-5000:]


def walk_through(server: MailServer, driver: Driver, domain: str) -> None:
    """The whole story, about a domain of its own."""
    operator = Operator(driver, f"http://{HOST}:{server.http}")
    operator.open()
    operator.fill("Administrator's name", "root")
    operator.fill("Password", PASSWORD)
    operator.press("Sign in")
    is_healthy(operator)
    adds_a_domain_and_an_account(operator, domain)
    connects_a_phone(server, operator, f"ada@{domain}")
    finds_what_did_not_arrive(server, operator, domain)
    restores_what_was_deleted(server, operator, f"ada@{domain}")
    is_healthy(operator)
    operator.press("Sign out")
    operator.sees("You are signed out.")


def is_healthy(operator: Operator) -> None:
    operator.follow("Overview")
    operator.sees("Health", "Database OK", "Object store OK")


def adds_a_domain_and_an_account(operator: Operator, domain: str) -> None:
    operator.follow("Domains")
    operator.follow("Add a domain")
    operator.fill("Domain", domain)
    operator.press("Add the domain")
    operator.sees(domain, "No accounts yet")
    operator.follow("Add an account")
    operator.fill("Address", f"ada@{domain}")
    operator.fill("Password", "her own password")
    operator.fill("The same again", "her own password")
    operator.press("Add the account")
    operator.sees(f"ada@{domain}", "active")


def connects_a_phone(server: MailServer, operator: Operator, address: str) -> None:
    """He types what the page of the client's settings says."""
    operator.follow("Client settings")
    host, port = (operator.copies("To read: IMAP", name) for name in ("Server", "Port"))
    assert (host, int(port)) == ("mail.example.org", server.imaps)
    with phone(server, int(port), address):
        pass


def phone(server: MailServer, port: int, address: str) -> imaplib.IMAP4_SSL:
    """A client that is logged in and has INBOX open."""
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    client = imaplib.IMAP4_SSL(HOST, port, ssl_context=trusting, timeout=60)
    client.login(address, "her own password")
    client.select()
    return client


def finds_what_did_not_arrive(server: MailServer, operator: Operator, domain: str) -> None:
    """Greta has mistyped Ada's address."""
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        server.deliver(f"adda@{domain}", MESSAGE % domain.encode(), "greta@example.net")
    operator.follow("Find a message")
    operator.fill("Address of the sender", f"adda@{domain}")
    operator.press("Look for it")
    operator.sees("No account and no alias here has this address", "refused")


def restores_what_was_deleted(server: MailServer, operator: Operator, address: str) -> None:
    server.deliver(address, MESSAGE % address.partition("@")[2].encode())
    with phone(server, server.imaps, address) as client:
        client.store("1", "+FLAGS", r"(\Deleted)")
        client.expunge()
    operator.follow("Accounts")
    operator.fill("Address begins with", address)
    operator.press("Search")
    operator.follow(address)
    operator.follow("Deleted mail")
    operator.sees("Holiday pictures")
    operator.tick("Holiday pictures")
    operator.press("Restore the ticked ones")
    operator.sees("restored")
    with phone(server, server.imaps, address) as client:
        assert client.select()[1] == [b"1"]


def test_a_new_operator_finds_everything(server: MailServer, browser: Chromium) -> None:
    browser.driver.delete_all_cookies()
    browser.show_on(DESKTOP)
    walk_through(server, browser, "first.example")


@pytest.mark.heavy
@pytest.mark.parametrize("screen", SCREENS[1:], ids=str)
def test_and_on_every_screen(server: MailServer, browser: Chromium, screen: Screen) -> None:
    browser.driver.delete_all_cookies()
    browser.show_on(screen)
    walk_through(server, browser, f"{screen}.example")


@pytest.mark.heavy
def test_and_without_javascript(server: MailServer, browser: Chromium) -> None:
    browser.driver.delete_all_cookies()
    browser.show_on(DESKTOP)
    browser.without_scripts(True)
    try:
        walk_through(server, browser, "plain.example")
    finally:
        browser.without_scripts(False)


@pytest.mark.heavy
@pytest.mark.parametrize("screen", SCREENS, ids=str)
def test_and_in_firefox(server: MailServer, firefox: Firefox, screen: Screen) -> None:
    firefox.become(f"http://{HOST}:{server.http}/web/sign-in", {})
    firefox.show_on(screen)
    walk_through(server, firefox, f"{screen}.firefox.example")
