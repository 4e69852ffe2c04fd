"""Mail withheld for a virus, over HTTP: administrators list it, look at it and bring it back; its owner does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lightmail.config import ClamavConfig
from lightmail.model import Account, MailboxId, Virus
from lightmail.objects.spool import Spools
from lightmail.operations.deliver import Delivered, Recipient, deliver
from lightmail.traces import CURRENT
from tests.support import visitors
from tests.support.apikit import Api, serve_api
from tests.support.reactor import run
from tests.support.storekit import NOW_US, fresh_config, open_store

VIRUS = Virus("Eicar-Signature", "withhold")
FIELD = b"X-Virus-Status: Infected (Eicar-Signature)\r\n"
MESSAGE = FIELD + b"X-Virus-Status: Clean\r\nFrom: Mallory <m@example.net>\r\nSubject: Your bill\r\n\r\nOpen it.\r\n"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with (
        fresh_config("sqlite", tmp_path_factory.mktemp("store")) as config,
        open_store(config) as store,
        serve_api(store, pages=True, clamav=ClamavConfig(enabled=True)) as serving,
    ):
        yield serving


async def _withhold(api: Api, account: Account, inbox: MailboxId, trace: str) -> Delivered:
    CURRENT.set(trace)
    spool = Spools(api.services.pool, None).new()
    try:
        spool.write(MESSAGE)
        stored = await api.services.blobs.write(spool, internaldate_us=NOW_US, owners=[(account.uuid, inbox)])
    finally:
        spool.close()
    to = [Recipient(account, inbox, account.address)]
    (answer,) = await deliver(api.store.tx, stored, "m@example.net", None, to, NOW_US, VIRUS)
    assert isinstance(answer, Delivered)
    return answer


def withhold(api: Api, account: Account, trace: str = "") -> int:
    """A message for the account's INBOX that is withheld; its id."""
    inbox = api.store.mailbox(account).id
    uid = run(_withhold(api, account, inbox, trace)).uid
    return api.store.count("SELECT id FROM messages WHERE mailbox = %s AND uid = %s", inbox, uid)


def test_the_api_lists_shows_and_restores_it(api: Api) -> None:
    account = visitors.account(api, visitors.domain(api)[1])
    id_ = withhold(api, account)
    path = f"/admin/accounts/{account.id}/messages"
    assert api.get(path).json["items"] == api.get(path, {"deleted": "true"}).json["items"] == []
    (item,) = api.get(path, {"withheld": "true"}).json["items"]
    assert (item["id"], item["withheld"], item["subject"]) == (id_, True, "Your bill")
    assert item["deleted_at"] is not None
    assert api.get(path, {"withheld": "true", "deleted_since": "2100-01-01T00:00:00Z"}).json["items"] == []
    for query, field in (
        ({"withheld": "true", "deleted": "true"}, "withheld"),
        ({"deleted_since": "2026-01-01T00:00:00Z"}, "deleted_since"),
    ):
        refused = api.get(path, query)
        assert (refused.status, refused.json["field"]) == (422, field)
    assert api.get(f"/admin/messages/{id_}").json["withheld"] is True
    assert api.get(f"/admin/messages/{id_}/raw").octets == MESSAGE
    assert api.request("DELETE", f"/admin/messages/{id_}").status == 409
    new = api.post(f"/admin/messages/{id_}/restore", {}).json["new_id"]
    shown = api.get(f"/admin/messages/{new}").json
    assert (shown["withheld"], shown["deleted_at"], shown["mailbox"]) == (False, None, "INBOX")
    assert api.get(path, {"withheld": "true"}).json["items"] == []


def test_its_page_leads_from_the_list_to_the_mailbox(api: Api) -> None:
    domain, name = visitors.domain(api)
    account = visitors.account(api, name)
    keeper = visitors.keeper(api, domain)
    base = f"/web/accounts/{account.id}/withheld"
    assert "Nothing was withheld" in keeper.get(base).text
    id_ = withhold(api, account)
    page = keeper.get(base)
    assert "Your bill" in page.text
    assert f"/web/messages/{id_}" in {given.get("href") for tag, given in page.elements if tag == "a"}
    assert "Nothing that was withheld is like that" in keeper.get(f"{base}?subject=lunch").text
    assert "Your bill" in keeper.get(f"{base}?sender=MALLORY").text
    message = keeper.get(f"/web/messages/{id_}")
    assert "A virus was found in this message: Infected (Eicar-Signature)" in " ".join(message.text.split())
    assert not [form for form in message.forms if form.action.endswith(("/delete", "/move"))]
    back = keeper.send(message.form(f"/web/messages/{id_}/restore"))
    assert back.status == 200
    assert api.store.usage(account) == (len(MESSAGE), 1)
    assert "Nothing was withheld" in keeper.get(base).text


def test_from_a_message_the_log_is_one_click_away(api: Api) -> None:
    domain, name = visitors.domain(api)
    account = visitors.account(api, name)
    id_ = withhold(api, account, "4be1c09a77d2.1")
    assert api.get(f"/admin/messages/{id_}").json["trace"] == "4be1c09a77d2.1"
    to_log = "/web/where?trace=4be1c09a77d2.1&since=all"
    for keeper, is_server in ((visitors.keeper(api), True), (visitors.keeper(api, domain), False)):
        page = keeper.get(f"/web/messages/{id_}")
        assert (to_log in {given.get("href") for tag, given in page.elements if tag == "a"}) is is_server
    assert visitors.keeper(api).get(to_log).status == 200


def test_its_owner_and_other_administrators_get_nothing(api: Api) -> None:
    account = visitors.account(api, visitors.domain(api)[1])
    id_ = withhold(api, account)
    owner, other = visitors.owner(api, account), visitors.keeper(api, visitors.domain(api)[0])
    deleted = owner.get("/web/my/deleted")
    assert (deleted.status, "Your bill" in deleted.text) == (200, False)
    for browser in (owner, other):
        for path in (f"/web/accounts/{account.id}/withheld", f"/web/messages/{id_}", f"/web/messages/{id_}/raw"):
            assert browser.get(path).status in (403, 404)


def test_where_nothing_is_scanned_the_page_says_so(tmp_path_factory: pytest.TempPathFactory) -> None:
    with (
        fresh_config("sqlite", tmp_path_factory.mktemp("store")) as config,
        open_store(config) as store,
        serve_api(store, pages=True) as api,
    ):
        account = visitors.account(api, visitors.domain(api)[1])
        assert "enabled = false" in visitors.keeper(api).get(f"/web/accounts/{account.id}/withheld").text
