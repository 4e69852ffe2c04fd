"""The pages of domains, accounts, aliases and administrators, and those that owners have of their own."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from lightmail.auth.app_passwords import digest
from lightmail.config.sections import ImapConfig
from lightmail.model import Account
from lightmail.operations import administrators
from lightmail.operations.aliases import add_alias
from lightmail.operations.app_passwords import add_app_password
from lightmail.store import accounts, credentials, profiles, sessions
from lightmail.store.accounts import Settings
from lightmail.store.cursor import Cursor
from lightmail.store.profiles import Profile
from lightmail.store.sessions import Process, Report
from lightmail.web.pages import fields
from lightmail.web.pages.table import VIEWS
from lightmail.web.pages.views import View
from tests.support import visitors
from tests.support.actors import OPERATOR
from tests.support.apikit import Api, serve_api
from tests.support.browser import Browser, Form
from tests.support.reactor import run
from tests.support.storekit import fresh_config, open_store
from tests.support.visitors import PASSWORD

MARKUP = "<script>alert(1)</script>\"'"
OF_ONE_ACCOUNT = [view for view in VIEWS if view.path.startswith(("/web/accounts/{id}", "/web/accounts/deleted/{id}"))]
OF_ONE_DOMAIN = [view for view in VIEWS if view.path.startswith("/web/domains/{id}")]


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


def profile(api: Api, address: str) -> Profile | None:
    return run(api.store.database.read("test", profiles.by_address_txn, address))


def known(api: Api, account: Account) -> Profile:
    found = profile(api, account.address)
    assert found is not None
    return found


def connect(api: Api, account: Account) -> int:
    process = Process(os.urandom(16), "mail", 1, "1", 1)
    report = Report(os.urandom(4).hex(), account.id, "imap", "192.0.2.8", True, MARKUP, 1)
    run(api.store.database.run("test", sessions.report_txn, process, [report], []))
    return api.store.count("SELECT MAX(id) FROM sessions WHERE account = %s", account.id)


def audited(api: Api, subject: str) -> list[str]:
    rows = api.store.rows("SELECT action FROM audit_log WHERE subject = %s ORDER BY id", subject.encode())
    return [action.decode() for (action,) in rows]


def page_form(browser: Browser, action: str) -> Form:
    """A form that was on a page once, with the token of this session."""
    return Form(action, "POST", dict(browser.get("/web/").form("/web/sign-out").fields))


# --- who sees what ---


@pytest.mark.parametrize("view", OF_ONE_ACCOUNT, ids=lambda view: f"{view.method} {view.path}")
@pytest.mark.parametrize("whose", ["another's", "nobody's", "no id"])
def test_of_other_domains_accounts_there_is_nothing(api: Api, view: View, whose: str) -> None:
    (own, _), (_, other) = visitors.domain(api), visitors.domain(api)
    account = visitors.account(api, other)
    secret = run(add_app_password(api.store.tx, OPERATOR, account.id, "phone")).app_password
    session = connect(api, account)
    browser = visitors.keeper(api, own)
    before = (known(api, account), api.store.count("SELECT COUNT(*) FROM session_ends"))
    id = {"another's": str(account.id), "nobody's": "987654321", "no id": "../1%00"}[whose]
    path = view.path.format(id=id, app_password=secret.id, session=session)
    token = browser.get("/web/").form("/web/sign-out").fields["form_token"]
    sent = {"form_token": token, "typed": account.address, "password": "x" * 20, "repeated": "x" * 20, "name": "n"}
    assert browser.request(view.method, path, sent if view.method == "POST" else None).status == 404
    assert (known(api, account), api.store.count("SELECT COUNT(*) FROM session_ends")) == before
    assert len(run(api.store.database.read("test", credentials.find_txn, account.address, None)).password_hash) == 60
    assert api.store.count("SELECT COUNT(*) FROM app_passwords WHERE account = %s", account.id) == 1


@pytest.mark.parametrize("view", OF_ONE_DOMAIN, ids=lambda view: f"{view.method} {view.path}")
def test_of_other_domains_there_is_nothing(api: Api, view: View) -> None:
    (own, _), (other, name) = visitors.domain(api), visitors.domain(api)
    browser = visitors.keeper(api, own)
    token = browser.get("/web/").form("/web/sign-out").fields["form_token"]
    sent = {"form_token": token, "typed": name, "max_accounts": "1"}
    path = view.path.format(id=other)
    assert browser.request(view.method, path, sent if view.method == "POST" else None).status == 404
    assert api.store.count("SELECT COUNT(*) FROM domains WHERE id = %s", other) == 1


def test_lists_hold_the_own_domains_things_alone(api: Api, root: Browser) -> None:
    (one, first), (two, second), (_, other) = (visitors.domain(api) for _ in range(3))
    mine, hers, others = (visitors.account(api, name) for name in (first, second, other))
    for account in (mine, hers, others):
        run(add_alias(api.store.tx, OPERATOR, f"info@{account.address.partition('@')[2]}", account.address))
    browser = visitors.keeper(api, one, two)
    page = browser.get("/web/domains")
    assert (first in page.text, second in page.text, other in page.text) == (True, True, False)
    for path in ("/web/accounts", "/web/aliases"):
        assert (mine.address in browser.get(path).text, others.address in browser.get(path).text) == (True, False)
        page = browser.get(f"{path}?domain={second}")
        assert (mine.address in page.text, hers.address in page.text) == (False, True)
        assert browser.get(f"{path}?domain={other}").status == 404
        assert browser.get(f"{path}?domain=%00").status == 404
        assert others.address in root.get(f"{path}?domain={other}").text
    for path in ("/web/administrators", "/web/domains/add"):
        assert browser.get(path).status == 404
        assert path not in browser.get("/web/").links
    assert browser.get(f"/web/accounts/{hers.id}").status == 200


def test_nothing_is_added_to_other_domains(api: Api) -> None:
    (own, name), (_, other) = visitors.domain(api), visitors.domain(api)
    account = visitors.account(api, other)
    browser = visitors.keeper(api, own)
    form = browser.get("/web/accounts/add").form("/web/accounts/add")
    page = browser.send(form, address=f"eve@{other}", password=PASSWORD, repeated=PASSWORD)
    assert (page.status, "That domain is not here." in page.text) == (422, True)
    form = browser.get("/web/aliases/add").form("/web/aliases/add")
    assert browser.send(form, address=f"eve@{other}", target=account.address).status == 422
    page = browser.send(form, address=f"eve@{name}", target=account.address)
    assert (page.status, "no account and no alias here" in page.text) == (422, True)
    assert profile(api, f"eve@{other}") is None
    assert api.store.count("SELECT COUNT(*) FROM aliases WHERE target = %s", account.address.encode()) == 0


# --- domains ---


def test_a_domain_is_added_limited_and_deleted(api: Api, root: Browser) -> None:
    form = root.get("/web/domains/add").form("/web/domains/add")
    page = root.send(form, name=" New-One.Example ", max_accounts="")
    assert "The domain is added." in page.text
    id = api.store.count("SELECT id FROM domains WHERE name = %s", b"new-one.example")
    limit = f"/web/domains/{id}/limit"
    assert "The limit is set." in root.send(page.form(limit), max_accounts="1").text
    page = root.send(root.get(f"/web/domains/{id}").form(limit), max_accounts="many")
    assert (page.status, page.form(limit).fields["max_accounts"]) == (422, "many")
    assert root.get(f"/web/domains/{id}").form(limit).fields["max_accounts"] == "1"
    delete = f"/web/domains/{id}/delete"
    page = root.send(root.get(delete).form(delete), typed="something else")
    assert (page.status, "Nothing was changed" in page.text) == (422, True)
    assert "The domain is deleted." in root.send(page.form(delete), typed="NEW-ONE.example").text
    assert root.get(f"/web/domains/{id}").status == 404
    assert audited(api, "new-one.example") == ["domain.add", "domain.change", "domain.delete"]


def test_a_form_says_what_to_mend_and_keeps_the_rest(api: Api, root: Browser) -> None:
    _, name = visitors.domain(api)
    form = root.get("/web/domains/add").form("/web/domains/add")
    for entered, most, line in (
        (name, "5", "That domain is here already."),
        ("not a domain", "5", "The domain name is not valid."),
        ("fine.example", "-1", "Enter a whole number"),
        ("fine.example", "9" * 20, "Enter a whole number"),
    ):
        page = root.send(form, name=entered, max_accounts=most)
        assert page.status in (409, 422)
        assert line in page.text
        assert page.form("/web/domains/add").fields["name"] == entered
        assert page.form("/web/domains/add").fields["max_accounts"] == most
        assert any(given.get("aria-invalid") == "true" for _, given in page.elements)


def test_a_domain_of_other_letters_is_copied_as_dns_and_postfix_have_it(api: Api, root: Browser) -> None:
    form = root.get("/web/domains/add").form("/web/domains/add")
    page = root.send(form, name="xn--bcher-kva.example")
    assert "bücher.example" in page.text
    copied = [given["data-copy"] for _, given in page.elements if "data-copy" in given]
    mail, postfix = copied
    assert str(mail).startswith("xn--bcher-kva.example. MX 10 ")
    assert postfix == "virtual_mailbox_domains = bücher.example xn--bcher-kva.example"


def test_a_domain_that_is_in_use_stays(api: Api, root: Browser) -> None:
    id, name = visitors.domain(api)
    address = visitors.account(api, name).address
    assert "Delete them first" in root.get(f"/web/domains/{id}/delete").text
    other, another = visitors.domain(api)
    run(add_alias(api.store.tx, OPERATOR, f"info@{another}", address))
    page = root.get(f"/web/domains/{other}/delete")
    page = root.send(page.form(f"/web/domains/{other}/delete"), typed=another)
    assert (page.status, "Delete them first" in page.text) == (409, True)


# --- accounts ---


def test_an_account_is_added_and_its_owner_signs_in(api: Api, root: Browser) -> None:
    _, name = visitors.domain(api)
    address = f"grace@{name}"
    form = root.get(f"/web/accounts/add?domain={name}").form("/web/accounts/add")
    given = {"full_name": MARKUP, "quota": "10G", "quota_messages": "1,000", "repeated": PASSWORD}
    page = root.send(form, address=f" Grace@{name} ", password=PASSWORD, **given)
    assert "The account is added." in page.text
    assert MARKUP in page.text  # as text, and nothing else:
    assert MARKUP not in page.html
    found = profile(api, address)
    assert found is not None
    assert (found.full_name, found.quota_octets, found.quota_messages) == (MARKUP, 10 << 30, 1000)
    assert page.form(f"/web/accounts/{found.id}/settings").fields["quota"] == "10G"
    assert "993" in root.get(f"/web/accounts/{found.id}/client-settings").text
    assert address in visitors.sign_in(api, address)[1].text
    assert audited(api, address)[:1] == ["account.add"]


def test_an_account_that_cannot_be_is_not_added(api: Api, root: Browser) -> None:
    id, name = visitors.domain(api)
    taken = visitors.account(api, name)
    form = root.get("/web/accounts/add").form("/web/accounts/add")
    good = {"address": f"new@{name}", "password": PASSWORD, "repeated": PASSWORD}
    for wrong, line in (
        ({"address": taken.address}, "has that address already"),
        ({"address": "nonsense"}, "The address is not valid."),
        ({"address": "a@nowhere.example"}, "That domain is not here."),
        ({"password": "short", "repeated": "short"}, "at least"),
        ({"repeated": "another one"}, "not repeated"),
        ({"quota": "ten"}, "Enter a size"),
        ({"quota_messages": "1.5"}, "Enter a whole number"),
        ({"full_name": "x\ny"}, "control characters"),
    ):
        page = root.send(form, **{**good, **wrong})
        assert page.status in (409, 422)
        assert line in page.text
        (marked,) = (given["id"] for _, given in page.elements if "aria-invalid" in given)
        assert marked == next(iter(wrong))
        again = page.form("/web/accounts/add").fields
        assert (again["password"], again["repeated"]) == ("", "")
    limit = f"/web/domains/{id}/limit"
    root.send(root.get(f"/web/domains/{id}").form(limit), max_accounts="1")
    assert "as many accounts as it may have" in root.send(form, **good).text
    assert profile(api, f"new@{name}") is None


def test_settings_change_and_a_password_signs_its_owner_out(api: Api, root: Browser) -> None:
    _, name = visitors.domain(api)
    account = visitors.account(api, name)
    browser = visitors.owner(api, account)
    base = f"/web/accounts/{account.id}"
    page = root.get(base)
    given = {"full_name": "Ada", "quota": "1536M", "quota_messages": ""}
    page = root.send(page.form(f"{base}/settings"), **given)
    assert "The settings are saved." in page.text
    assert page.form(f"{base}/settings").fields["quota"] == "1536M"
    page = root.send(page.form(f"{base}/settings"), full_name="Eve", quota="-", quota_messages="")
    assert (page.status, page.form(f"{base}/settings").fields["full_name"]) == (422, "Eve")
    assert known(api, account).full_name == "Ada"
    assert browser.get("/web/my/clients").status == 200
    new = {"password": "another password", "repeated": "another password"}
    assert "The password is changed" in root.send(root.get(base).form(f"{base}/password"), **new).text
    assert "Sign in" in browser.get("/web/my/clients").text
    assert account.address in visitors.sign_in(api, account.address, "another password")[1].text


def test_a_disabled_account_lets_nobody_in_until_it_is_enabled(api: Api, root: Browser) -> None:
    _, name = visitors.domain(api)
    account = visitors.account(api, name)
    base = f"/web/accounts/{account.id}"
    assert "is disabled" in root.send(root.get(base).form(f"{base}/disable")).text
    assert "This account is disabled." in visitors.sign_in(api, account.address)[1].text
    assert "is enabled" in root.send(root.get(base).form(f"{base}/enable")).text
    assert "Your client settings" in visitors.sign_in(api, account.address)[1].text


def test_an_account_goes_when_its_address_is_typed_and_comes_back(api: Api) -> None:
    domain, name = visitors.domain(api)
    account = visitors.account(api, name)
    browser, delete = visitors.keeper(api, domain), f"/web/accounts/{account.id}/delete"
    page = browser.get(delete)
    assert f"lightmail account restore {account.address}" in page.text
    page = browser.send(page.form(delete), typed=name)
    assert (page.status, profile(api, account.address) is None) == (422, False)
    assert "The account is deleted." in browser.send(browser.get(delete).form(delete), typed=account.address).text
    assert profile(api, account.address) is None
    restore = f"/web/accounts/deleted/{account.id}/restore"
    assert "The account is back" in browser.send(browser.get("/web/accounts/deleted").form(restore)).text
    assert profile(api, account.address) is not None
    assert browser.send(page_form(browser, restore)).status == 404
    assert audited(api, account.address) == ["account.add", "account.delete", "account.restore"]


def test_what_stands_in_the_way_of_an_account_is_said(api: Api, root: Browser) -> None:
    _, name = visitors.domain(api)
    account, other = visitors.account(api, name), visitors.account(api, name)
    delete, restore = f"/web/accounts/{account.id}/delete", f"/web/accounts/deleted/{account.id}/restore"
    run(add_alias(api.store.tx, OPERATOR, f"info@{name}", account.address))
    page = root.send(root.get(delete).form(delete), typed=account.address)
    assert (page.status, "Aliases lead to the account." in page.text) == (409, True)
    unalias(root, f"info@{name}", account.address)
    root.send(root.get(delete).form(delete), typed=account.address)
    run(add_alias(api.store.tx, OPERATOR, account.address, other.address))
    page = root.send(root.get("/web/accounts/deleted").form(restore))
    assert (page.status, "address is taken by now" in page.text) == (409, True)
    unalias(root, account.address, other.address)
    assert "The account is back" in root.send(page.form(restore)).text


def unalias(browser: Browser, address: str, target: str) -> None:
    page = browser.get(f"/web/aliases/delete?{urlencode({'address': address, 'target': target})}")
    assert "does not lead there" in browser.send(page.form("/web/aliases/delete"), typed=address).text


def test_lists_go_on_page_by_page(api: Api, root: Browser) -> None:
    _, name = visitors.domain(api)
    run(api.store.database.run("test", many_accounts, name, 120))
    seen: list[str] = []
    path = f"/web/accounts?search=U&domain={name}"
    for first, last in ((1, 50), (51, 100), (101, 120)):
        page = root.get(path)
        assert f"{first} to {last} of 120" in page.text
        seen += re.findall(r"u\d{5}@", page.text)
        path = next((given["href"] or "" for _, given in page.elements if given.get("rel") == "next"), "")
    assert (seen, path) == (sorted(set(seen)), "")
    assert len(seen) == 120
    assert f"/web/accounts?search=U&domain={name}&page=2" in page.links
    assert "This page is empty." in root.get(f"/web/accounts?domain={name}&page=99").text
    assert "1 to 50" in root.get(f"/web/accounts?domain={name}&page=x").text
    assert "No account is like that." in root.get(f"/web/accounts?domain={name}&search=zzz").text


def many_accounts(cursor: Cursor, name: str, count: int) -> None:
    """Accounts u00000@, u00001@ … of a domain, with what they use."""
    cursor.execute("SELECT id FROM domains WHERE name = %s", (name.encode(),))
    row = cursor.fetchone()
    assert row is not None
    for number in range(count):
        settings = Settings("hash", f"User {number}", number % 7 > 0, (number % 3) << 30)
        id = accounts.insert_account_txn(cursor, os.urandom(16), f"u{number:05}@{name}", row[0], settings)
        cursor.execute("UPDATE account_usage SET octets = %s WHERE account = %s", (number << 17, id))


# --- app passwords and clients ---


@pytest.mark.parametrize("who", ["administrator", "owner"])
def test_an_app_password_is_seen_once_and_opens_until_it_is_revoked(api: Api, who: str) -> None:
    domain, name = visitors.domain(api)
    account = visitors.account(api, name)
    browser = visitors.keeper(api, domain) if who == "administrator" else visitors.owner(api, account)
    path = f"/web/accounts/{account.id}/app-passwords" if who == "administrator" else "/web/my/app-passwords"
    fields_of = browser.get(path).form(path)
    del fields_of.fields["pop3"]
    page = browser.send(fields_of, name=MARKUP)
    (secret,) = re.findall(r"\b(?:[a-z2-9]{5}-){3}[a-z2-9]{5}\b", page.text.replace("Copy", " "))[:1]
    found = run(api.store.database.read("test", credentials.find_txn, account.address, digest(secret.encode())))
    assert found is not None
    assert found.protocols == {"imap"}
    page = browser.get(path)
    assert (secret in page.html, MARKUP in page.html, MARKUP in page.text) == (False, False, True)
    page = browser.send(fields_of, name=MARKUP)
    assert (page.status, "of that name already" in page.text) == (409, True)
    assert browser.send(fields_of, name=" ").status == 422
    del fields_of.fields["imap"]
    assert "Choose what it is for" in browser.send(fields_of, name="tablet").text
    (revoke,) = [link for link in browser.get(path).links if link.endswith("/revoke")]
    page = browser.get(revoke)
    assert browser.send(page.form(revoke), typed="phone").status == 422
    assert "is revoked" in browser.send(page.form(revoke), typed=MARKUP).text
    found = run(api.store.database.read("test", credentials.find_txn, account.address, digest(secret.encode())))
    assert found is not None
    assert not found.protocols
    assert audited(api, account.address)[-2:] == ["app_password.add", "app_password.revoke"]


@pytest.mark.parametrize("who", ["administrator", "owner"])
def test_clients_are_seen_and_disconnected(api: Api, who: str) -> None:
    domain, name = visitors.domain(api)
    account = visitors.account(api, name)
    first, second = connect(api, account), connect(api, account)
    browser = visitors.keeper(api, domain) if who == "administrator" else visitors.owner(api, account)
    path = f"/web/accounts/{account.id}/clients" if who == "administrator" else "/web/my/clients"
    page = browser.get(path)
    assert (page.text.count("192.0.2.8"), MARKUP in page.text, MARKUP in page.html) == (4, True, False)
    before = api.store.count("SELECT COUNT(*) FROM session_ends")
    assert "is disconnected" in browser.send(page.form(f"{path}/{first}/end")).text
    assert "are disconnected" in browser.send(page.form(f"{path}/end")).text
    assert api.store.count("SELECT COUNT(*) FROM session_ends") == before + 2
    api.store.execute("DELETE FROM sessions WHERE id IN (%s, %s)", first, second)
    assert "had gone already" in browser.send(page.form(f"{path}/{first}/end")).text
    assert "No client is connected" in browser.get(path).text


def test_an_owner_sees_what_his_account_holds(api: Api) -> None:
    _, name = visitors.domain(api)
    account = visitors.account(api, name)
    browser = visitors.owner(api, account)
    page = browser.get("/web/my")
    assert ("0, no limit" in page.text, "is full" in page.text, account.address in page.text) == (True, False, True)
    api.store.execute("UPDATE accounts SET quota_octets = 1024 WHERE id = %s", account.id)
    api.store.execute("UPDATE account_usage SET octets = 1024 WHERE account = %s", account.id)
    page = browser.get("/web/my")
    assert ("1 KiB of 1 KiB" in page.text, "is full, and no mail comes in" in page.text) == (True, True)
    assert visitors.keeper(api).get("/web/my").status == 404


def test_an_owner_touches_nothing_of_another(api: Api) -> None:
    _, name = visitors.domain(api)
    mine, others = visitors.account(api, name), visitors.account(api, name)
    secret = run(add_app_password(api.store.tx, OPERATOR, others.id, "phone")).app_password
    session = connect(api, others)
    browser = visitors.owner(api, mine)
    token = browser.get("/web/client-settings").form("/web/sign-out").fields
    before = api.store.count("SELECT COUNT(*) FROM session_ends")
    for path, sent in (
        (f"/web/my/app-passwords/{secret.id}/revoke", None),
        (f"/web/my/app-passwords/{secret.id}/revoke", {**token, "typed": "phone"}),
        (f"/web/my/clients/{session}/end", token),
    ):
        assert browser.request("POST" if sent else "GET", path, sent).status == 404
    assert others.address not in browser.get("/web/my/clients").text
    assert api.store.count("SELECT COUNT(*) FROM session_ends") == before
    assert api.store.count("SELECT COUNT(*) FROM app_passwords WHERE id = %s", secret.id) == 1
    for path in ("/web/my/app-passwords", "/web/my/clients"):
        assert visitors.keeper(api).get(path).status == 404


# --- aliases ---


def test_an_alias_leads_to_its_targets_until_each_is_deleted(api: Api, root: Browser) -> None:
    _, name = visitors.domain(api)
    one, two = visitors.account(api, name), visitors.account(api, name)
    form = root.get("/web/aliases/add").form("/web/aliases/add")
    for target in (one, two):
        assert "The alias is added." in root.send(form, address=f"Info@{name}", target=target.address).text
    for address, target, line in (
        (f"info@{name}", one.address, "leads there already"),
        (one.address, two.address, "an account's own"),
        (f"x@{name}", f"nobody@{name}", "no account and no alias here"),
        ("x", one.address, "not valid"),
        (f"x@{name}", "x", "not valid"),
        (f"x@{name}", f"x@{name}", "lead back to itself"),
    ):
        page = root.send(form, address=address, target=target)
        assert line in page.text
        assert page.form("/web/aliases/add").fields["target"] == target
    unalias(root, f"info@{name}", one.address)
    page = root.get(f"/web/aliases?domain={name}")
    assert (one.address in page.text, two.address in page.text) == (False, True)
    shown = root.get(f"/web/accounts/{two.id}")
    assert f"info@{name}" in shown.text
    other, _ = visitors.domain(api)
    stranger = visitors.keeper(api, other)
    lead = f"address=info@{name}&target={two.address}"
    assert stranger.get(f"/web/aliases/delete?{lead}").status == 404
    sent = {"address": f"info@{name}", "target": two.address, "typed": f"info@{name}"}
    assert stranger.send(page_form(stranger, "/web/aliases/delete"), **sent).status == 404
    assert two.address in root.get(f"/web/aliases?domain={name}").text
    for query in ("", f"?address=info@{name}&target={one.address}", f"?address=none@{name}&target={one.address}"):
        assert root.get(f"/web/aliases/delete{query}").status in (400, 404)


# --- administrators ---


def test_an_administrator_is_added_changed_and_deleted(api: Api, root: Browser) -> None:
    (_, name), (_, other) = visitors.domain(api), visitors.domain(api)
    form = root.get("/web/administrators/add").form("/web/administrators/add")
    given = {"name": "Berta", "password": PASSWORD, "repeated": PASSWORD}
    assert "Enter the domains" in root.send(form, **given, role="domains", domains="").text
    assert "nowhere.example is no domain" in root.send(form, **given, role="domains", domains="nowhere.example").text
    page = root.send(form, **given, role="domains", domains=f"{name}\r\n")
    assert "The administrator is added" in page.text
    assert "of that name already" in root.send(form, **given, role="server").text
    assert root.send(form, **{**given, "name": "a@b"}, role="server").status == 422
    id = api.store.count("SELECT id FROM administrators WHERE name = %s", b"berta")
    base = f"/web/administrators/{id}"
    browser, page = visitors.sign_in(api, "berta")
    assert f"Overview of {name}" in page.text
    assert "The role is changed." in root.send(root.get(base).form(f"{base}/role"), role="domains", domains=other).text
    assert f"Overview of {other}" in browser.get("/web/").text
    assert "The role is changed." in root.send(root.get(base).form(f"{base}/role"), role="server", domains="").text
    assert browser.get(base).status == 200
    new = {"password": "another password", "repeated": "another password"}
    assert "signed out everywhere" in root.send(root.get(base).form(f"{base}/password"), **new).text
    assert "Sign in" in browser.get("/web/").text
    assert "disabled and signed out" in root.send(root.get(base).form(f"{base}/disable")).text
    assert "is disabled" in visitors.sign_in(api, "berta", "another password")[1].text
    assert "can sign in again" in root.send(root.get(base).form(f"{base}/enable")).text
    page = root.get(f"{base}/delete")
    assert root.send(page.form(f"{base}/delete"), typed="root").status == 422
    assert "is deleted" in root.send(page.form(f"{base}/delete"), typed="berta").text
    assert root.get(base).status == 404


def test_who_has_lost_his_app_is_asked_for_no_codes(api: Api, root: Browser) -> None:
    who = visitors.administrator(api)
    run(administrators.set_totp(api.store.tx, OPERATOR, who.id, b"x" * 20, 1))
    assert "Enter the code" in visitors.sign_in(api, who.name)[1].text
    base = f"/web/administrators/{who.id}"
    page = root.send(root.get(base).form(f"{base}/drop-codes"))
    assert "No code is asked for any more." in page.text
    assert "Overview" in visitors.sign_in(api, who.name)[1].text
    assert audited(api, who.name)[-2:] == ["administrator.totp.remove", "administrator.sign_in"]


@pytest.mark.parametrize("verb", ["role", "password", "drop-codes", "disable", "delete"])
def test_nobody_takes_the_server_from_himself(api: Api, verb: str) -> None:
    who = visitors.administrator(api)
    _, name = visitors.domain(api)
    browser, _ = visitors.sign_in(api, who.name)
    sent = {"role": "domains", "domains": name, "typed": who.name, "password": "x" * 20, "repeated": "x" * 20}
    page = browser.send(page_form(browser, f"/web/administrators/{who.id}/{verb}"), **sent)
    assert page.status == 409
    assert "our own" in page.text or "yourself" in page.text
    assert "Administrators" in visitors.sign_in(api, who.name)[1].text


# --- fields ---


@pytest.mark.parametrize("octets", [0, 1, 1023, 1024, 1536 << 20, 10 << 30, (10 << 30) + 1, 1 << 50])
def test_a_size_is_entered_as_it_is(octets: int) -> None:
    assert fields.size({"size": fields.size_entered(octets)}, "size") == octets
