"""Pages as people meet them: full of long and strange things, quite empty, and with what they say when one is wrong.

`LIGHTMAIL_TEST_PICTURES=DIR` keeps a picture of each, to be looked at.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from lightmail.web.pages.views import Access
from tests.support.seaweedfs import SeaweedFS
from tests.web.chromium import Chromium
from tests.web.crawling import crawl, one_of_each
from tests.web.lifelike import brand_new, lived_in
from tests.web.looking import serious, sideways
from tests.web.screens import DESKTOP, PHONE, SCREENS
from tests.web.worlds import PASSWORD, World

pytestmark = pytest.mark.heavy

_PICTURES = os.environ.get("LIGHTMAIL_TEST_PICTURES", "")
_REACHED: Final = {"server": Access.SERVER, "ours": Access.ADMINISTRATOR, "owner": Access.SIGNED_IN}


@pytest.fixture(scope="module")
def old(s3: SeaweedFS | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with lived_in(tmp_path_factory.mktemp("old"), s3) as made:
        yield made


@pytest.fixture(scope="module")
def new(s3: SeaweedFS | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with brand_new(tmp_path_factory.mktemp("new"), s3) as made:
        yield made


def _base(world: World) -> str:
    return f"http://127.0.0.1:{world.api.port}"


def _look(browser: Chromium, name: str) -> list[str]:
    """What is wrong with the page that is shown; a picture of it on each screen where they are wanted."""
    wrong = []
    for screen in SCREENS if _PICTURES else (DESKTOP, PHONE):
        browser.show_on(screen)
        wrong += [f"{screen}: {line}" for line in sideways(browser, screen)]
        if screen in (DESKTOP, PHONE):
            wrong += [f"{screen}: {line}" for line in serious(browser)]
        if _PICTURES:
            browser.picture(str(Path(_PICTURES) / f"{name}-{screen}.png"))
    return [f"{name}: {line}" for line in wrong + browser.said()]


def _look_at_all(world: World, browser: Chromium, who: str, prefix: str) -> None:
    light, _ = world.sign_in(who)
    found = one_of_each((seen for seen in crawl(light) if seen.is_page), lambda seen: seen.kind)
    browser.become(f"{_base(world)}/web/sign-in", light.cookies)
    wrong = []
    for seen in found:
        if who == "server" or seen.view.access is _REACHED[who]:
            browser.go(_base(world) + seen.path)
            wrong += _look(browser, f"{prefix}-{re.sub('[^a-z-]+', '_', seen.kind).strip('_')}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("who", _REACHED)
def test_pages_full_of_everything_are_good(old: World, browser: Chromium, who: str) -> None:
    _look_at_all(old, browser, who, who)


def test_pages_of_a_server_that_is_new_are_good(new: World, browser: Chromium) -> None:
    _look_at_all(new, browser, "server", "new")


@dataclass(frozen=True)
class Scene:
    """A page and, where `action` says so, what its form leads to, filled in with `values`."""

    name: str
    path: str
    action: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    who: str = "server"


_PASSWORDS: Final = {"password": PASSWORD, "repeated": PASSWORD}
_ADD_ACCOUNT: Final = "/web/accounts/add"
_IMPORT: Final = "/web/jobs/start/import-imap"
_VERIFY: Final = "/web/jobs/start/verify"
_APP_PASSWORDS: Final = "/web/accounts/{ada}/app-passwords"
_SCENES: Final = (
    Scene("missing", "/web/accounts/4711"),
    Scene("domain-there", "/web/domains/add", "/web/domains/add", {"name": "example.org", "max_accounts": "many"}),
    Scene("domain-added", "/web/domains/add", "/web/domains/add", {"name": "new.example"}),
    Scene("domain-used", "/web/domains/1/delete"),
    Scene("domain-search", "/web/domains?search=zzz"),
    Scene("account-wrong", _ADD_ACCOUNT, _ADD_ACCOUNT, {"address": "ada@example.org", **_PASSWORDS, "repeated": "x"}),
    Scene("account-there", _ADD_ACCOUNT, _ADD_ACCOUNT, {"address": "ada@example.org", **_PASSWORDS}),
    Scene("account-added", _ADD_ACCOUNT, _ADD_ACCOUNT, {"address": "carl@example.org", **_PASSWORDS}),
    Scene("account-search", "/web/accounts?search=zzz"),
    Scene("account-quota", "/web/accounts/{ada}", "/web/accounts/{ada}/settings", {"quota": "much"}),
    Scene("account-saved", "/web/accounts/{ada}", "/web/accounts/{ada}/settings", {"quota": "11G"}),
    Scene("account-disabled", "/web/accounts/{bob}"),
    Scene("account-full", "/web/accounts/{full}"),
    Scene("account-delete-untyped", "/web/accounts/{ada}/delete", "/web/accounts/{ada}/delete", {"typed": "x"}),
    Scene("accounts-deleted-restored", "/web/accounts/deleted", "/web/accounts/deleted/{former}/restore"),
    Scene("alias-nowhere", "/web/aliases/add", "/web/aliases/add", {"address": "x@example.org", "target": "y@z.org"}),
    Scene("alias-search", "/web/aliases?search=zzz"),
    Scene(
        "administrator-wrong", "/web/administrators/add", "/web/administrators/add",
        {"name": "new", "role": "domains", "domains": "nowhere.example", **_PASSWORDS},
    ),
    Scene("administrator-codes", "/web/administrators/{phone}"),
    Scene("administrator-oneself", "/web/administrators/{root}"),
    Scene("app-password-there", _APP_PASSWORDS, _APP_PASSWORDS, {"name": "phone"}),
    Scene("app-password-made", _APP_PASSWORDS, _APP_PASSWORDS, {"name": "tablet"}),
    Scene("clients-none", "/web/accounts/{bob}/clients"),
    Scene("deleted-none", "/web/accounts/{bob}/deleted"),
    Scene("deleted-search", "/web/accounts/{ada}/deleted?subject=zzz"),
    Scene("messages-none", "/web/accounts/{bob}/messages"),
    Scene("messages-search", "/web/accounts/{ada}/messages?subject=zzz"),
    Scene("messages-wrong-day", "/web/accounts/{ada}/messages?since=yesterday"),
    Scene("message-html", "/web/messages/{letter}?view=html"),
    Scene("message-deleted", "/web/messages/{deleted}"),
    Scene("where-found", "/web/where?address=charles%40example.net"),
    Scene("where-account", "/web/where?address=ada%40example.org"),
    Scene("where-alias", "/web/where?address=info%40example.org"),
    Scene("where-nothing", "/web/where?address=nobody%40elsewhere.example"),
    Scene("where-wrong", "/web/where?address=x&trace=..."),
    Scene("sessions-none", "/web/sessions?account=zzz%40example.org"),
    Scene("job-wrong", _VERIFY, _VERIFY, {"address": "zzz@example.org", "rate": "fast"}),
    Scene("job-incomplete", _IMPORT, _IMPORT, {"address": "ada@example.org", "host": "imap.example.net"}),
    Scene("job-started", _VERIFY, _VERIFY, {"address": "ada@example.org"}),
    Scene("job-done", "/web/jobs/{verified}"),
    Scene("job-failed", "/web/jobs/{failed}"),
    Scene("job-brought", "/web/jobs/{brought}"),
    Scene("withheld", "/web/accounts/{ada}/withheld"),
    Scene("job-interrupted", "/web/jobs/{interrupted}"),
    Scene("jobs-none", "/web/jobs?state=failed&kind=garbage"),
    Scene("audit-none", "/web/audit?subject=zzz"),
    Scene("audit-wrong-day", "/web/audit?since=yesterday"),
    Scene("token-there", "/web/tokens", "/web/tokens/add", {"name": "backup", "scope.jobs:read": ""}),
    Scene("token-made", "/web/tokens", "/web/tokens/add", {"name": "new", "scope.jobs:read": ""}),
    Scene("webhook-tested", "/web/webhook", "/web/webhook/test"),
    Scene("password-wrong", "/web/myself", "/web/myself/password", {"password": "x", "new_password": "y"}),
    Scene("codes-wrong", "/web/myself", "/web/myself/totp", {"code": "123456"}),
    Scene("my-app-password-made", "/web/my/app-passwords", "/web/my/app-passwords", {"name": "watch"}, "owner"),
    Scene("my-clients-ended", "/web/my/clients", "/web/my/clients/end", {}, "owner"),
    Scene("signed-out", "/web/sign-in?notice=signed-out", who=""),
    Scene("sign-in-wrong", "/web/sign-in", "/web/sign-in", {"name": "root", "password": "wrong"}, ""),
)  # fmt: skip


# What the console tells of a page whose status says that something was refused, or a day that is none.
_TOLD: Final = ("Failed to load resource", "does not conform to the required format")


def _ids(world: World) -> dict[str, int]:
    """What stands in braces in scenes."""
    count, ids = world.api.store.count, {}
    for name in ("ada", "bob", "full", "former"):
        ids[name] = count("SELECT id FROM accounts WHERE address = %s", f"{name}@example.org".encode())
    for name in ("root", "phone"):
        ids[name] = count("SELECT id FROM administrators WHERE name = %s", name.encode())
    for name, kind, state in (
        ("verified", "verify", "done"),
        ("failed", "import-imap", "failed"),
        ("brought", "import-imap", "done"),
        ("interrupted", "export-maildir", "interrupted"),
    ):
        ids[name] = count("SELECT id FROM jobs WHERE kind = %s AND state = %s", kind.encode(), state.encode())
    ids["letter"] = count("SELECT id FROM messages WHERE deleted_at = 0 ORDER BY octets DESC LIMIT 1")
    ids["deleted"] = count("SELECT id FROM messages WHERE deleted_at > 0 LIMIT 1")
    return ids


def test_what_pages_say_is_good_to_read(old: World, browser: Chromium) -> None:
    wrong, ids, who = [], _ids(old), "nobody"
    for scene in _SCENES:
        if scene.who != who:
            who = scene.who
            browser.become(f"{_base(old)}/web/sign-in", old.sign_in(who)[0].cookies if who else {})
        browser.go(_base(old) + scene.path.format(**ids))
        if scene.action:
            browser.send(scene.action.format(**ids), scene.values)
        said = _look(browser, f"scene-{scene.name}")
        wrong += [line for line in said if not any(words in line for words in _TOLD)]
    assert not wrong, "\n".join(wrong)
