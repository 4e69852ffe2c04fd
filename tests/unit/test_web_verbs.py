"""Whatever a page of the web does or shows, a verb of the command line does: for scripts, and without a browser."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import click
import pytest

from lightmail.cli import cli
from lightmail.operations import jobs
from lightmail.web.pages.table import VIEWS
from lightmail.web.pages.views import Access, View

# Signing in and out is of a browser alone: on the command line one is who one is.
NONE_NEEDED: Final = frozenset({"GET /", "GET /web/sign-in", "POST /web/sign-in"})

_OF_ONE: Final = "/web/accounts/{id}"
_OWN: Final = "/web/my"
# What owners of accounts have for their own, administrators have for all.
_OF_BOTH: Final[Mapping[str, str]] = {
    "GET {base}/app-passwords": "app-password list",
    "POST {base}/app-passwords": "app-password add",
    "GET {base}/app-passwords/{app_password}/revoke": "app-password revoke",
    "POST {base}/app-passwords/{app_password}/revoke": "app-password revoke",
    "GET {base}/clients": "session list",
    "POST {base}/clients/end": "session end",
    "POST {base}/clients/{session}/end": "session end",
    "GET {base}/deleted": "undelete list",
    "POST {base}/deleted/restore": "undelete restore",
    "POST {base}/deleted/restore-all": "job start undelete",
}
VERBS: Final[Mapping[str, str]] = {
    **{name.replace("{base}", base): verb for name, verb in _OF_BOTH.items() for base in (_OF_ONE, _OWN)},
    "GET /web/": "status",
    "POST /web/sign-out": "admin sign-out",
    "GET /web/myself": "admin list",
    "POST /web/myself/password": "admin passwd",
    "POST /web/myself/totp": "admin add-codes",
    "POST /web/myself/totp/remove": "admin drop-codes",
    "GET /web/client-settings": "account settings",
    "GET /web/client-settings/profile": "account settings",
    "GET /web/accounts/{id}/client-settings": "account settings",
    "GET /web/domains": "domain list",
    "GET /web/domains/add": "domain add",
    "POST /web/domains/add": "domain add",
    "GET /web/domains/{id}": "domain show",
    "POST /web/domains/{id}/limit": "domain set",
    "GET /web/domains/{id}/delete": "domain delete",
    "POST /web/domains/{id}/delete": "domain delete",
    "GET /web/accounts": "account list",
    "GET /web/accounts/add": "account add",
    "POST /web/accounts/add": "account add",
    "GET /web/accounts/deleted": "account deleted",
    "POST /web/accounts/deleted/{id}/restore": "account restore",
    "GET /web/accounts/{id}": "account show",
    "POST /web/accounts/{id}/settings": "account set",
    "POST /web/accounts/{id}/password": "account passwd",
    "POST /web/accounts/{id}/disable": "account disable",
    "POST /web/accounts/{id}/enable": "account enable",
    "GET /web/accounts/{id}/delete": "account delete",
    "POST /web/accounts/{id}/delete": "account delete",
    "GET /web/my": "account show",
    "GET /web/my/jobs/{id}": "job show",
    "POST /web/my/jobs/{id}/cancel": "job cancel",
    "GET /web/accounts/{id}/mailboxes": "mailbox list",
    "GET /web/accounts/{id}/messages": "message list",
    "GET /web/accounts/{id}/withheld": "message list",
    "GET /web/mailboxes/{id}": "message list",
    "GET /web/mailboxes/{id}/uids/{uid}": "message list",
    "GET /web/messages/{id}": "message text",
    "GET /web/messages/{id}/html": "message part",
    "GET /web/messages/{id}/raw": "message raw",
    "GET /web/messages/{id}/parts/{part}": "message part",
    "POST /web/messages/{id}/delete": "message delete",
    "POST /web/messages/{id}/copy": "message copy",
    "POST /web/messages/{id}/move": "message move",
    "POST /web/messages/{id}/restore": "message restore",
    "GET /web/where": "trace",
    "GET /web/aliases": "alias list",
    "GET /web/aliases/add": "alias add",
    "POST /web/aliases/add": "alias add",
    "GET /web/aliases/delete": "alias delete",
    "POST /web/aliases/delete": "alias delete",
    "GET /web/administrators": "admin list",
    "GET /web/administrators/add": "admin add",
    "POST /web/administrators/add": "admin add",
    "GET /web/administrators/{id}": "admin list",
    "POST /web/administrators/{id}/role": "admin set",
    "POST /web/administrators/{id}/password": "admin passwd",
    "POST /web/administrators/{id}/drop-codes": "admin drop-codes",
    "POST /web/administrators/{id}/disable": "admin disable",
    "POST /web/administrators/{id}/enable": "admin enable",
    "GET /web/administrators/{id}/delete": "admin delete",
    "POST /web/administrators/{id}/delete": "admin delete",
    "GET /web/sessions": "session list",
    "POST /web/sessions/{id}/end": "session end",
    "GET /web/jobs": "job list",
    "GET /web/jobs/start/{kind}": "job start",
    "POST /web/jobs/start/{kind}": "job start",
    "GET /web/jobs/{id}": "job show",
    "POST /web/jobs/{id}/cancel": "job cancel",
    "GET /web/audit": "audit",
    "GET /web/tokens": "token list",
    "POST /web/tokens/add": "token add",
    "GET /web/tokens/{id}/revoke": "token revoke",
    "POST /web/tokens/{id}/revoke": "token revoke",
    "GET /web/webhook": "webhook list",
    "POST /web/webhook/events/{id}/retry": "webhook retry",
    "POST /web/webhook/retry": "webhook retry",
    "POST /web/webhook/test": "webhook test",
    "GET /web/configuration": "config show",
}


def name_of(view: View) -> str:
    return f"{view.method} {view.path}"


def verb(words: str) -> click.Command:
    """The command of that name. AssertionError where there is none."""
    found: click.Command = cli
    for word in words.split():
        assert isinstance(found, click.Group), words
        below = found.get_command(click.Context(found), word)
        assert below is not None, f"there is no verb {words}"
        found = below
    return found


@pytest.mark.parametrize("view", VIEWS, ids=name_of)
def test_each_page_has_a_verb_that_does_the_same(view: View) -> None:
    if name_of(view) in NONE_NEEDED:
        assert view.access is Access.EVERYBODY
        return
    assert name_of(view) in VERBS, "name the verb that does what the page does"
    verb(VERBS[name_of(view)])


def test_no_page_is_named_that_is_not_there() -> None:
    assert VERBS.keys() | NONE_NEEDED == {name_of(view) for view in VIEWS}


@pytest.mark.parametrize("kind", jobs.KINDS)
def test_each_kind_of_job_is_started_by_a_verb(kind: str) -> None:
    verb(f"job start {kind}")
