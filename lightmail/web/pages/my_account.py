"""An owner's account as he sees it: what it holds, what it may hold, and what he can do here."""

from __future__ import annotations

from typing import Final

from lightmail.web.pages.subjects import OF_OWNERS, subject
from lightmail.web.pages.views import Access, Answer, Html, View, Visit


async def show(visit: Visit) -> Answer:
    """The page."""
    account = (await subject(visit)).profile
    octets, messages = account.quota_octets, account.quota_messages
    is_full = bool((octets and account.used_octets >= octets) or (messages and account.used_messages >= messages))
    return Html("my_account.html", {"account": account, "is_full": is_full})


VIEWS: Final = (View("GET", OF_OWNERS, Access.SIGNED_IN, show),)
