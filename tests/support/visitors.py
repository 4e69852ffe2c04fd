"""Who visits the web's pages in tests: administrators and owners, all of one password, signed in at a browser."""

from __future__ import annotations

from itertools import count
from typing import Final

import bcrypt

from lightmail.model import Account
from lightmail.operations import administrators
from lightmail.operations.accounts import add_account
from lightmail.operations.domains import add_domain
from lightmail.store.administrators import Administrator
from tests.support.actors import OPERATOR
from tests.support.apikit import Api
from tests.support.browser import Browser, Page
from tests.support.reactor import run

PASSWORD: Final = "correct horse battery"
# The cheapest there is: it is checked a hundred times.
HASH: Final = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
_numbers = count(1)


def domain(api: Api) -> tuple[int, str]:
    """A new domain: its id and its name."""
    name = f"people{next(_numbers)}.example"
    return run(add_domain(api.store.tx, OPERATOR, name)), name


def account(api: Api, domain: str, name: str = "ada") -> Account:
    """A new account of a domain."""
    return run(add_account(api.store.tx, OPERATOR, f"{name}{next(_numbers)}@{domain}", HASH))


def administrator(api: Api, *domains: int) -> Administrator:
    """A new administrator of domains, or of the server."""
    name = f"keeper{next(_numbers)}"
    return run(administrators.add_administrator(api.store.tx, OPERATOR, name, HASH, domains or None))


def sign_in(api: Api, name: str, password: str = PASSWORD) -> tuple[Browser, Page]:
    """A browser, and the page that it is led to."""
    browser = Browser(api.port)
    form = browser.get("/").form("/web/sign-in")
    return browser, browser.send(form, name=name, password=password)


def keeper(api: Api, *domains: int) -> Browser:
    """The browser of a new administrator of domains, or of the server, who has signed in."""
    return sign_in(api, administrator(api, *domains).name)[0]


def owner(api: Api, account: Account) -> Browser:
    """The browser of an account's owner, who has signed in."""
    return sign_in(api, account.address)[0]
