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
    audit,
    client_settings,
    clients,
    configuration,
    domains,
    home,
    jobs,
    mailboxes,
    message,
    my_account,
    myself,
    sessions,
    signing,
    tokens,
    tracing,
    undeleting,
    webhook,
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
    *my_account.VIEWS,
    *mailboxes.VIEWS,
    *message.VIEWS,
    *undeleting.VIEWS,
    *tracing.VIEWS,
    *aliases.VIEWS,
    *administrators.VIEWS,
    *sessions.VIEWS,
    *jobs.VIEWS,
    *audit.VIEWS,
    *tokens.VIEWS,
    *webhook.VIEWS,
    *configuration.VIEWS,
)

_OF_THE_SERVER: Final = (
    ("Administrators", "/web/administrators"),
    ("Webhook", "/web/webhook"),
    ("Configuration", "/web/configuration"),
)


def menu(who: SignedIn | None) -> tuple[tuple[str, str], ...]:
    """The pages to choose from, each with its name and address."""
    if who is None:
        return ()
    if who.administrator is None:
        return (
            ("Your account", "/web/my"),
            ("Client settings", "/web/client-settings"),
            ("App passwords", "/web/my/app-passwords"),
            ("Connected clients", "/web/my/clients"),
            ("Deleted mail", "/web/my/deleted"),
        )
    return (
        ("Overview", "/web/"),
        ("Domains", "/web/domains"),
        ("Accounts", "/web/accounts"),
        ("Aliases", "/web/aliases"),
        *((("Find a message", "/web/where"),) if who.administrator.server else ()),
        ("Sessions", "/web/sessions"),
        ("Jobs", "/web/jobs"),
        ("Audit log", "/web/audit"),
        ("API tokens", "/web/tokens"),
        *(_OF_THE_SERVER if who.administrator.server else ()),
        ("Your sign-in", "/web/myself"),
    )
