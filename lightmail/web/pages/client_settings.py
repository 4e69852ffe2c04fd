"""What to enter in a mail client: server names and ports to copy, and a profile for Apple's devices."""

from __future__ import annotations

from typing import Final

from lightmail.errors import NoSuchAccount
from lightmail.store import profiles
from lightmail.store.addresses import normalised
from lightmail.web.discovery import mobileconfig
from lightmail.web.discovery.servers import servers
from lightmail.web.pages import qr
from lightmail.web.pages.subjects import OF_ADMINISTRATORS, subject
from lightmail.web.pages.views import Access, Answer, File, Html, View, Visit

_PATH: Final = "/web/client-settings"


async def show(visit: Visit) -> Answer:
    """The page: for the owner's own account, or the one that an administrator asks for."""
    address = await _address(visit)
    told = servers(visit.services.config)
    about = await subject(visit) if "id" in visit.path else None
    values = {
        "about": about,
        "address": address,
        "incoming": told.incoming,
        "outgoing": told.outgoing,
        "path_of_profile": f"{_PATH}/profile",
        "here": f"{visit.site}{_PATH}" if visit.site else "",
        "qr": await visit.services.hashing.run(qr.drawn, f"{visit.site}{_PATH}") if visit.site else None,
    }
    return Html("client_settings.html", values)


async def profile(visit: Visit) -> Answer:
    """The profile as a file."""
    address = await _address(visit)
    octets = await mobileconfig.signed_if_possible(visit.services.pool, visit.services.config, address)
    return File(mobileconfig.CONTENT_TYPE, "mail.mobileconfig", octets)


async def _address(visit: Visit) -> str:
    """Whose settings are shown. Raises NoSuchAccount where that is not for who asks, Invalid."""
    who = visit.who
    if "id" in visit.path:
        return (await subject(visit)).profile.address
    if who is not None and who.account is not None:
        return who.account.address
    address = normalised(visit.query.get("address", ""))
    found = await visit.services.database.read("client-settings", profiles.by_address_txn, address)
    if found is None or not visit.actor_of(found.domain).administers(found.domain):
        raise NoSuchAccount
    return found.address


VIEWS: Final = (
    View("GET", _PATH, Access.SIGNED_IN, show),
    View("GET", f"{_PATH}/profile", Access.SIGNED_IN, profile),
    View("GET", f"{OF_ADMINISTRATORS}/client-settings", Access.ADMINISTRATOR, show),
)
