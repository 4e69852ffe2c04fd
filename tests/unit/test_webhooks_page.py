"""docs/webhooks.md says what the code does."""

from __future__ import annotations

import json
import re
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

from lightmail.config import WebhookConfig
from lightmail.jobs.webhooks import DELAYS_SECONDS
from lightmail.model import EVENT_KINDS, AccountId, MailboxId, ObjectId, Virus
from lightmail.operations.events import Arrival, Delivery
from lightmail.operations.viruses import Carrier, _detail
from lightmail.webhooks.signing import new_secret, signature_headers, signing_keys
from tests.support.hookkit import letter
from tests.support.storekit import NOW_US

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text(encoding="utf-8")


def stored(arrival: Arrival) -> Delivery:
    return Delivery(arrival, AccountId(1), MailboxId(2), 3, ObjectId(4), letter(), NOW_US)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_example_of_a_receiver_knows_what_is_genuine() -> None:
    names: dict[str, Any] = {}
    (code,) = blocks("python")
    exec(code, names)  # noqa: S102
    secret, body = new_secret(), b'{"event":"webhook.test"}'
    headers = signature_headers(signing_keys(f"{new_secret()} {secret}", ""), "evt_1", int(time.time()), body)
    assert names["is_genuine"](headers, body, secret)
    assert not names["is_genuine"](headers, body + b" ", secret)
    assert not names["is_genuine"](headers, body, new_secret())
    old = signature_headers(signing_keys(secret, ""), "evt_1", int(time.time()) - 301, body)
    assert not names["is_genuine"](old, body, secret)


def test_the_example_of_an_event_has_its_fields() -> None:
    (shown,) = (json.loads(block) for block in blocks("json"))
    (event,) = stored(Arrival("lmtp", "a@example.net", "b@example.org", "")).events()
    assert list(shown) == list(json.loads(event.payload))


def test_an_event_of_a_virus_has_the_same_fields_whatever_became_of_the_message() -> None:
    (shown,) = (json.loads(block) for block in blocks("json"))
    virus = Virus("Eicar", "withhold")
    (event,) = stored(Arrival("lmtp", "a@example.net", "b@example.org", "", ("virus.found",), virus)).events()
    refused = _detail(Carrier("lmtp", "a@example.net", 4711, Virus("Eicar", "reject")), "b@example.org")
    fields_of_one = list(json.loads(event.payload))
    assert fields_of_one == [*shown, "signature", "action"]
    assert list(refused) == [name for name in fields_of_one if name not in ("event", "timestamp", "account_id")]


def test_every_kind_and_every_key_is_on_the_page() -> None:
    for kind in EVENT_KINDS:
        assert f"`{kind}`" in PAGE
    keys = re.findall(r"^\| `(\w+)` \|", PAGE.partition("## Events")[0], re.MULTILINE)
    assert sorted(keys) == sorted(field.name for field in fields(WebhookConfig))


def test_the_page_names_the_delays() -> None:
    delays = (5, 5 * 60, 30 * 60, *(hours * 3600 for hours in (2, 5, 10, 14, 20, 24)))
    assert delays == DELAYS_SECONDS
    assert "5 seconds,\n  5 and 30 minutes, 2, 5, 10, 14, 20 and 24 hours" in PAGE
