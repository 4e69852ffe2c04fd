"""All pages: the families' tables, one after the other, and what the menu shows to whom."""

from __future__ import annotations

from typing import Final

from lightmail.operations.web_sessions import SignedIn
from lightmail.web.pages import (
    account,
    accounts,
    administrators,
    aliases,
    app_passwords,
    client_settings,
    clients,
    domains,
    home,
    myself,
    signing,
)
from lightmail.web.pages.views import View

VIEWS: Final[tuple[View, ...]] = (
    *home.VIEWS,
    *signing.VIEWS,
    *myself.VIEWS,
    *client_settings.VIEWS,
    *domains.VIEWS,
    *accounts.VIEWS,
    *account.VIEWS,
    *app_passwords.VIEWS,
    *clients.VIEWS,
    *aliases.VIEWS,
    *administrators.VIEWS,
)


def menu(who: SignedIn | None) -> tuple[tuple[str, str], ...]:
    """The pages to choose from, each with its name and address."""
    if who is None:
        return ()
    if who.administrator is None:
        return (
            ("Client settings", "/web/client-settings"),
            ("App passwords", "/web/my/app-passwords"),
            ("Connected clients", "/web/my/clients"),
        )
    return (
        ("Overview", "/web/"),
        ("Domains", "/web/domains"),
        ("Accounts", "/web/accounts"),
        ("Aliases", "/web/aliases"),
        *((("Administrators", "/web/administrators"),) if who.administrator.server else ()),
        ("Your sign-in", "/web/myself"),
    )
