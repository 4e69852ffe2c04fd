"""Endpoints that mail clients ask for their servers, without a token: see `lightmail.web.discovery`.

All addresses of a domain get the same answer, and a domain that is not ours gets none.
"""

from __future__ import annotations

from typing import Final

from lightmail.errors import NoSuchAccount
from lightmail.store import domains
from lightmail.store.addresses import normalised
from lightmail.web.api.endpoints import Call, Endpoint, Octets, Query
from lightmail.web.api.schemas import Address
from lightmail.web.discovery import autoconfig, autodiscover, mobileconfig
from lightmail.web.discovery.servers import servers

_ADDRESS: Final = Query("emailaddress", Address(about="The address that mail is read as."), required=True)
_CODES: Final = {"no_such_account": 404}


async def thunderbird(call: Call) -> Octets:
    """The file config-v1.1.xml for the address's domain."""
    domain = await _our_domain(call, call.query["emailaddress"])
    return Octets(autoconfig.CONTENT_TYPE, None, autoconfig.autoconfig(servers(call.services.config), domain))


async def outlook(call: Call) -> Octets:
    """The answer to Outlook's question."""
    address = normalised(autodiscover.requested_address(call.octets))
    await _our_domain(call, address)
    return Octets(autodiscover.CONTENT_TYPE, None, autodiscover.autodiscover(servers(call.services.config), address))


async def apple(call: Call) -> Octets:
    """A configuration profile, signed where there is a certificate that can sign."""
    address: str = call.query["emailaddress"]
    await _our_domain(call, address)
    profile = await mobileconfig.signed_if_possible(call.services.pool, call.services.config, address)
    return Octets(mobileconfig.CONTENT_TYPE, f"{address}.mobileconfig", profile)


async def _our_domain(call: Call, address: str) -> str:
    """The domain of an address. Raises NoSuchAccount where it is not one of ours."""
    domain = address.rpartition("@")[2]
    if await call.services.database.read("discovery", domains.by_name_txn, domain) is None:
        raise NoSuchAccount("There is no such domain here.")
    return domain


def _thunderbird(path: str) -> Endpoint:
    return Endpoint(
        "GET",
        path,
        None,
        "Servers for Thunderbird and those who read its files",
        thunderbird,
        query=(_ADDRESS,),
        media="text/xml",
        codes=_CODES,
    )


def _outlook(path: str) -> Endpoint:
    return Endpoint(
        "POST", path, None, "Servers for Outlook", outlook, takes="text/xml", media="text/xml", codes=_CODES
    )


ENDPOINTS: Final = (
    _thunderbird("/.well-known/autoconfig/mail/config-v1.1.xml"),
    _thunderbird("/mail/config-v1.1.xml"),
    _outlook("/autodiscover/autodiscover.xml"),
    _outlook("/Autodiscover/Autodiscover.xml"),
    Endpoint(
        "GET",
        "/apple.mobileconfig",
        None,
        "A configuration profile for iOS and macOS",
        apple,
        query=(_ADDRESS,),
        media=mobileconfig.CONTENT_TYPE,
        codes=_CODES,
    ),
)
