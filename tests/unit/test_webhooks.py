"""A request to a webhook's receiver: how it is signed, where it may go, and what is made of every answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor as installed_reactor
from twisted.internet.ssl import Certificate, DefaultOpenSSLContextFactory
from twisted.internet.task import deferLater

from lightmail.config import WebhookConfig, load
from lightmail.errors import ConfigError
from lightmail.webhooks import Attempt, Sender
from lightmail.webhooks.destinations import ANSWER_OCTETS, is_public
from lightmail.webhooks.signing import new_secret, signature_headers, signing_keys
from tests.support.certificates import certificate
from tests.support.hookkit import Ear, Names, receiver, saying
from tests.support.reactor import call, run

reactor: Any = installed_reactor

ID = b"\x01" * 16
BODY = b'{"event":"webhook.test"}'


@contextmanager
def sender(config: WebhookConfig, **more: Any) -> Iterator[Sender]:
    made = call(Sender, config, reactor, **more)
    try:
        yield made
    finally:
        run(made.close())


def tell(config: WebhookConfig, **more: Any) -> Attempt:
    with sender(config, **more) as made:
        return run(made.send(ID, BODY))


# --- signatures ---


def test_a_signature_is_that_of_the_reference_implementations() -> None:
    keys = signing_keys("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "unused")
    headers = signature_headers(keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_while_a_secret_is_replaced_both_sign() -> None:
    old, new = new_secret(), new_secret()
    both = signature_headers(signing_keys(f"{new} {old}", ""), "evt_1", 1, BODY)["webhook-signature"].split()
    assert both == [
        signature_headers(signing_keys(secret, ""), "evt_1", 1, BODY)["webhook-signature"] for secret in (new, old)
    ]


def test_without_a_secret_the_token_signs() -> None:
    assert signing_keys("", "geheim") == (b"geheim",)


# --- addresses ---


@pytest.mark.parametrize(
    "address",
    "127.0.0.1 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 255.255.255.255 224.0.0.1 192.0.2.1"
    " 198.18.0.1 240.0.0.1 ::1 :: fe80::1 fe80::1%eth0 fc00::1 fec0::1 ff02::1 2001:db8::1 ::ffff:127.0.0.1"
    " ::ffff:10.0.0.1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 2002:7f00:1:: 2002:a00:1:: ::127.0.0.1 ::7f00:1".split(),
)
def test_private_addresses_are_known(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", "93.184.216.34 8.8.8.8 2606:4700:4700::1111 ::ffff:8.8.8.8 64:ff9b::808:808 2002:808:808::".split()
)
def test_public_addresses_are_known(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses(v=4))
def test_an_address_is_private_however_ipv6_writes_it(address: Any) -> None:
    number = int(address)
    for text in (f"::ffff:{address}", f"64:ff9b::{number >> 16:x}:{number & 65535:x}"):
        assert is_public(text) == is_public(str(address))


def test_a_private_address_is_not_connected_to() -> None:
    with saying(b"") as (ear, connections):
        attempt = tell(ear.config(allow_private=False), resolver=Names(["127.0.0.1"]))
        assert (attempt.status, attempt.error) == (
            None,
            "the address 127.0.0.1 is private, and [webhook] allow_private is not set",
        )
        literal = tell(ear.config(allow_private=False, url=f"http://127.0.0.1:{ear.port}/"))
        assert literal.error == attempt.error
        assert not connections


def test_the_connection_is_made_to_the_address_that_was_checked() -> None:
    # A name server that answers otherwise the second time is not asked a second time.
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    with receiver() as ear:
        assert tell(ear.config(url=f"http://hook.example:{ear.port}/hook"), resolver=names).arrived
    assert names.asked == ["hook.example"]


def test_the_next_address_is_tried_when_one_refuses() -> None:
    with receiver() as ear:
        assert tell(ear.config(), resolver=Names(["127.0.0.3", "127.0.0.1"])).arrived


def test_a_name_without_an_address_says_so() -> None:
    config = Ear(new_secret(), port=1).config()
    assert tell(config, resolver=Names([])).error == "the name localhost has no address"


# --- requests ---


def test_a_request_carries_what_the_receiver_needs() -> None:
    with receiver() as ear:
        attempt = tell(ear.config(token="open sesame"))
        assert attempt.arrived
        (told,) = ear.told
    assert told.event == json.loads(BODY)
    assert told.id == "evt_" + "01" * 16
    assert told.headers["authorization"] == "Bearer open sesame"
    assert told.headers["content-type"] == "application/json"
    assert told.headers["user-agent"].startswith("LightMail/")


def test_requests_share_a_connection() -> None:
    with receiver() as ear, sender(ear.config()) as made:
        for _ in range(3):
            assert run(made.send(ID, BODY)).arrived
        assert len({told.connection for told in ear.told}) == 1


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_an_arrival(status: int) -> None:
    with receiver(answer=lambda _: status) as ear:
        assert tell(ear.config()).arrived


@pytest.mark.parametrize("status", [400, 401, 404, 500, 503])
def test_any_other_status_is_none(status: int) -> None:
    with receiver(answer=lambda _: status) as ear:
        attempt = tell(ear.config())
    assert (attempt.status, attempt.error, attempt.arrived) == (status, f"it answered {status}", False)


def test_a_redirect_is_not_followed() -> None:
    with receiver() as elsewhere, receiver(answer=lambda _: 307) as ear:
        ear.headers["Location"] = f"http://localhost:{elsewhere.port}/hook"
        attempt = tell(ear.config())
        assert not elsewhere.told
    assert attempt.error == "it answered 307; redirects are not followed, name the new URL"


@pytest.mark.parametrize(
    ("status", "header", "seconds"),
    [(429, "120", 120), (503, "7", 7), (503, "99999999999", 3600), (503, "soon", 0), (503, "-1", 0), (410, "", 3600)],
)
def test_a_receiver_may_ask_for_peace(status: int, header: str, seconds: int) -> None:
    with receiver(answer=lambda _: status) as ear:
        ear.headers["Retry-After"] = header
        assert tell(ear.config()).wait_seconds == seconds


@pytest.mark.parametrize(
    ("octets", "close", "error"),
    [
        (b"", False, "no answer within 0.3 s"),
        (b"", True, "it closed the connection without an answer"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 1000, False, "no answer within 0.3 s"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * ANSWER_OCTETS, False, "it closed the connection without an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", False, "its answer is no HTTP"),
        (b"HTTP/1.1 two hundred\r\n\r\n", False, "its answer is no HTTP"),
        (b"\x15\x03\x01\x00\x02\x02\x46\r\n\r\n", False, "its answer is no HTTP"),
    ],
)
def test_no_answer_is_taken_for_one(octets: bytes, close: bool, error: str) -> None:
    with saying(octets, then_close=close) as (ear, _):
        attempt = tell(ear.config(timeout_ms=300))
    assert (attempt.status, attempt.error) == (None, error)


def test_nobody_listens() -> None:
    with saying(b"") as (ear, _):
        pass
    assert tell(ear.config()).error == "no connection: Connection was refused by other side"


@pytest.mark.parametrize("length", [b"Content-Length: 99999999\r\n", b"Transfer-Encoding: chunked\r\n", b""])
def test_an_answer_without_end_costs_neither_time_nor_memory(length: bytes) -> None:
    octets = b"HTTP/1.1 200 OK\r\n" + length + b"\r\n" + b"f\r\n" + b"x" * (4 * ANSWER_OCTETS)
    with saying(octets) as (ear, connections):
        attempt = tell(ear.config())
        assert attempt.arrived
        assert attempt.seconds < 2
        assert len(connections) == 1


def test_a_body_that_never_ends_is_cut_off_in_time() -> None:
    octets = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx"
    with saying(octets) as (ear, connections), sender(ear.config(timeout_ms=200)) as made:
        assert run(made.send(ID, BODY)).arrived
        run(closed(connections[0]), 10)


def test_a_sender_that_is_closed_keeps_no_connection() -> None:
    with saying(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nx") as (ear, connections):
        with sender(ear.config(timeout_ms=60_000)) as made:
            assert run(made.send(ID, BODY)).arrived
        run(closed(connections[0]), 10)


async def closed(connection: Any) -> None:
    while connection.connected:
        await deferLater(reactor, 0.01)


# --- TLS ---


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Certificate]:
    """What a server shows, and who vouches for it: itself."""
    directory = tmp_path_factory.mktemp("tls")
    certificate(directory)
    shown = DefaultOpenSSLContextFactory(str(directory / "key.pem"), str(directory / "cert.pem"))
    return shown, Certificate.loadPEM((directory / "cert.pem").read_bytes())


def test_over_tls_the_certificate_is_checked(tls: tuple[Any, Certificate]) -> None:
    context, itself = tls
    with receiver(context) as ear:
        assert tell(ear.config(), trust_root=itself).arrived
        unknown = tell(ear.config())
        assert unknown.error == "TLS failed; its certificate is not trusted, or it speaks no TLS 1.2"
        other = ear.config(url=f"https://hook.example:{ear.port}/")
        wrong = tell(other, trust_root=itself, resolver=Names(["127.0.0.1"]))
        assert wrong.error == "its certificate is for another name"
        assert len(ear.told) == 1


def test_a_server_without_tls_is_no_receiver_over_tls() -> None:
    with saying(b"220 hello\r\n") as (ear, _):
        attempt = tell(ear.config(url=f"https://localhost:{ear.port}/"))
    assert attempt.status is None
    assert "TLS failed" in attempt.error


# --- configuration ---


def configured(**keys: str) -> WebhookConfig:
    given = {"enabled": "true", "url": "https://example.org/hook", "token": "t", **keys}
    named = {f"LIGHTMAIL_WEBHOOK_{key.upper()}": value for key, value in given.items()}
    return load(None, {"LIGHTMAIL_CONFIG": "", **named}).webhook


def test_what_is_told_can_be_chosen() -> None:
    assert "virus.found" in configured().wanted
    assert configured(events="quota.*, message.delivered").wanted == (
        "message.delivered",
        "quota.warning",
        "quota.exceeded",
    )
    assert configured(enabled="false").wanted == ()


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ({"url": ""}, "[webhook] url is missing"),
        ({"url": "ftp://example.org/"}, "url must be a URL"),
        ({"url": "https://me:secret@example.org/"}, "url must be a URL"),
        ({"url": "https://bücher.example/"}, "url must be a URL"),
        ({"url": "https://example.org/#x"}, "url must be a URL"),
        ({"url": "http://example.org/"}, "[webhook] url must begin with https"),
        ({"token": ""}, "[webhook] secret is missing"),
        ({"secret": "whsec_c2hvcnQ="}, "secret must be whsec_"),
        ({"secret": "geheim"}, "secret must be whsec_"),
        ({"events": "message.read"}, "events must be kinds of events"),
        ({"timeout_ms": "5"}, "timeout_ms must be"),
    ],
)
def test_a_webhook_that_cannot_work_is_refused(keys: dict[str, str], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint.replace("[", r"\[")) as refused:
        configured(**keys)
    assert "geheim" not in str(refused.value)
