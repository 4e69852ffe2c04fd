"""A real server and a webhook's receiver: a delivery is told, over restarts and outages, and by the console's hand."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.servers import MailServer
from tests.support.hookkit import Ear, receiver

MESSAGE = b"From: a@example.net\r\nMessage-ID: <1@example.net>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nhello\r\n"


def webhook(ear: Ear, **changes: Any) -> dict[str, object]:
    """The section that leads to the receiver."""
    url = f"http://localhost:{ear.port}/hook"
    return {"enabled": "true", "url": url, "secret": ear.secret, "allow_private": "true", **changes}


@pytest.fixture(scope="module")
def ear() -> Iterator[Ear]:
    with receiver() as listening:
        yield listening


@pytest.fixture(scope="module")
def server(ear: Ear, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    directory = tmp_path_factory.mktemp("server")
    made = MailServer(directory, {"webhook": webhook(ear), "pop3": None, "storage": {"writer_processes": 0}})
    made.cli("migrate")
    made.cli("domain", "add", "example.org")
    made.account("joe@example.org")
    made.start()
    yield made
    made.kill()


def test_a_delivery_is_told_over_outages_and_restarts(server: MailServer, ear: Ear) -> None:
    ear.wait(1)  # what the console did before the server ran
    assert (ear.events[0]["event"], ear.events[0]["address"]) == ("account.add", "joe@example.org")

    server.deliver("joe@example.org", MESSAGE, "a@example.net")
    ear.wait(2)
    told = ear.events[1]
    assert (told["event"], told["protocol"]) == ("message.delivered", "lmtp")
    assert (told["sender"], told["recipient"], told["subject"]) == ("a@example.net", "joe@example.org", "Grüße")
    shown = json.loads(server.cli("message", "show", str(told["message_id"]), "--json").stdout)
    assert shown["id"] == told["message_id"]

    # The receiver is down; the server dies with the event in its queue, and tells of it when both are well again.
    ear.answer = lambda told: 500
    server.deliver("joe@example.org", MESSAGE.replace(b"<1@", b"<2@"), "a@example.net")
    ear.wait(3)
    server.kill()
    ear.answer = lambda told: 204
    (waiting,) = json.loads(server.cli("webhook", "list", "--waiting", "--json").stdout)
    assert waiting["event_id"] == ear.told[2].id
    assert server.cli("webhook", "retry", str(waiting["id"])).stdout == "1 event is tried again\n"
    server.start()
    ear.wait(4)
    assert ear.told[3].id == ear.told[2].id


def test_the_console_tries_the_receiver_out(server: MailServer, ear: Ear) -> None:
    before = len(ear.told)
    assert "arrived: 204" in server.cli("webhook", "test").stdout
    assert ear.events[-1]["event"] == "webhook.test"
    assert len(ear.told) > before
    ear.answer = lambda told: 302
    refused = server.cli("webhook", "test", check=False)
    assert refused.returncode == 1
    assert "it answered 302; redirects are not followed" in refused.stderr
    unknown = server.cli("webhook", "retry", "999", check=False)
    assert unknown.stderr == "lightmail: There is no such event in the queue.\n"


def test_a_reload_changes_the_receiver_and_what_it_hears(server: MailServer, ear: Ear) -> None:
    heard = len(ear.told)
    with receiver() as other:
        server.sections["webhook"] = webhook(other, events="message.*")
        server.write_config()
        assert server.process is not None
        server.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + 30
        while "reloaded" not in server.log():
            assert time.monotonic() < until, server.log()
            time.sleep(0.02)
        server.account("ann@example.org")
        server.deliver("ann@example.org", MESSAGE)
        other.wait(1)
        assert [event["event"] for event in other.events] == ["message.delivered"]
        assert b'lightmail_webhook_events_total{result="delivered"}' in server.get("/metrics")[1]
    assert len(ear.told) == heard
