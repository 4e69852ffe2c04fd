"""Where is my message? What the page finds in the log, what it says of an address, and what it says to do next."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count

import pytest

from lightmail.config.sections import ImapConfig
from lightmail.operations.aliases import add_alias
from lightmail.records import RECENT
from tests.support import visitors
from tests.support.actors import OPERATOR
from tests.support.apikit import Api, serve_api
from tests.support.apiworld import put_message
from tests.support.browser import Browser
from tests.support.reactor import run
from tests.support.storekit import fresh_config, open_store

_numbers = count(1)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with (
        fresh_config("sqlite", tmp_path_factory.mktemp("store")) as config,
        open_store(config) as store,
        serve_api(store, pages=True, imap=ImapConfig()) as serving,
    ):
        yield serving


@pytest.fixture(scope="module")
def root(api: Api) -> Browser:
    return visitors.keeper(api)


def say(message: str, trace: str, *, source: str = "lmtp.handover", ago: float = 1) -> None:
    """Have the server's log say something, so many seconds ago."""
    moment = datetime.fromtimestamp(time.time() - ago, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    RECENT.add(f"{moment} info  {source} [{trace}] {message}")


def delivered(sender: str, address: str, mailbox: int, uid: int, id: str) -> str:
    place = f"UID {uid} in mailbox {mailbox} of {address}"
    return f"delivered from <{sender}> to <{address}>: {place}, 1 octets, Message-ID {id}"


def test_a_message_is_found_by_who_sent_it_and_led_to(api: Api, root: Browser) -> None:
    _, domain = visitors.domain(api)
    account = visitors.account(api, domain)
    inbox = api.store.mailbox(account).id
    message = put_message(api, account.id, inbox, b"Subject: Lost\r\n\r\nFound.\r\n")
    trace = f"{next(_numbers):012x}"
    id = f"<{trace}@x>"
    say(delivered(f"bob{trace}@example.net", account.address, inbox, 1, id), f"{trace}.1")
    say(f"told {account.address} of 1 new messages in mailbox {inbox}, up to UID 1", "abc", source="imap.idle", ago=0)
    for query in (f"address=bob{trace}@example.net", f"message_id=%3c{trace}@x%3e", f"trace={trace}.1"):
        page = root.get(f"/web/where?{query}")
        assert "delivered from" in page.text, query
        assert "clients told" in page.text, query
        assert page.text.index("delivered from") < page.text.index("told " + account.address)
        assert f"/web/where?trace={trace}.1&since=day" in page.links
        assert f"/web/mailboxes/{inbox}/uids/1" in page.links
    assert "Found." in root.get(f"/web/mailboxes/{inbox}/uids/1").text
    assert root.path == f"/web/messages/{message}"
    assert api.delete(f"/admin/messages/{message}").status == 204
    assert "This message was deleted" in root.get(f"/web/mailboxes/{inbox}/uids/1").text
    page = root.get(f"/web/mailboxes/{inbox}/uids/2")
    assert (page.status, "not in that mailbox any more" in page.text) == (404, True)


def test_refusals_say_what_they_mean(root: Browser) -> None:
    trace = f"{next(_numbers):012x}"
    for reply, word in (("550 5.1.1 Unknown", "refused"), ("452 4.2.2 Full", "put off"), ("250 ok", "")):
        say(f"refused from <x{trace}@y> to <z@y>: {reply}", f"{trace}.1")
        page = root.get(f"/web/where?address=x{trace}@y")
        assert word in page.text
    assert page.html.count('<span class="bad">') == 2


def test_an_address_is_told_of(api: Api, root: Browser) -> None:
    _, domain = visitors.domain(api)
    account = visitors.account(api, domain)
    run(add_alias(api.store.tx, OPERATOR, f"info@{domain}", account.address))
    page = root.get(f"/web/where?address={account.address.upper()}")
    assert "This is an account here." in page.text
    assert {f"/web/accounts/{account.id}/messages", f"/web/accounts/{account.id}/deleted"} < set(page.links)
    assert "This is an alias here." in root.get(f"/web/where?address=info@{domain}").text
    page = root.get("/web/where?address=nobody@else.example")
    assert "No account and no alias here" in page.text
    assert "The log has nothing of it" in page.text
    assert "grep nobody@else.example" in page.text


def test_only_the_period_that_is_asked_for_is_shown(root: Browser) -> None:
    trace = f"{next(_numbers):012x}"
    say(f"refused from <x{trace}@y> to <z@y>: 550 5.1.1 Unknown", f"{trace}.1", ago=2 * 86_400)
    for since, found in (("hour", False), ("day", False), ("week", True), ("all", True), ("nonsense", False)):
        page = root.get(f"/web/where?address=x{trace}@y&since={since}")
        assert ("550 5.1.1" in page.text) is found, since


def test_what_is_no_word_to_look_for_is_said(root: Browser) -> None:
    for query in ("address=a", "message_id=a", "trace=abc"):
        page = root.get(f"/web/where?{query}")
        assert page.status == 422
        assert any(given.get("aria-invalid") == "true" for _, given in page.elements)
    assert "The log has nothing" not in root.get("/web/where").text


def test_what_strangers_got_into_the_log_is_text(root: Browser) -> None:
    trace = f"{next(_numbers):012x}"
    say(f'refused from <"<script>alert(1)</script>{trace}@y> to <z@y>: 550 5.1.1 Unknown', f"{trace}.1")
    page = root.get(f"/web/where?trace={trace}.1")
    assert "<script>alert(1)" in page.text
    assert "<script>alert(1)" not in page.html


def test_the_log_is_the_server_s_administrator_s(api: Api) -> None:
    id, domain = visitors.domain(api)
    account = visitors.account(api, domain)
    inbox = api.store.mailbox(account).id
    put_message(api, account.id, inbox, b"Subject: x\r\n\r\ny\r\n")
    own = visitors.keeper(api, id)
    assert own.get(f"/web/where?address={account.address}").status == 404
    assert own.get(f"/web/mailboxes/{inbox}/uids/1").status == 200
    other = visitors.keeper(api, visitors.domain(api)[0])
    assert other.request("GET", f"/web/mailboxes/{inbox}/uids/1").status == 404
