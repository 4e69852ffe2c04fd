"""Thunderbird's autoconfig, which Evolution, KMail and K-9 read as well: the file config-v1.1.xml.

Clients ask for https://autoconfig.DOMAIN/mail/config-v1.1.xml?emailaddress=ADDRESS, then for
https://DOMAIN/.well-known/autoconfig/mail/config-v1.1.xml (wiki.mozilla.org/Thunderbird:Autoconfiguration).
"""

from __future__ import annotations

from typing import Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from lightmail.web.discovery.servers import Server, Servers

CONTENT_TYPE: Final = "text/xml; charset=utf-8"
_SOCKETS: Final = {"tls": "SSL", "starttls": "STARTTLS"}


def autoconfig(servers: Servers, domain: str) -> bytes:
    """The file for all addresses of `domain`. The client puts the address in for %EMAILADDRESS%."""
    root = Element("clientConfig", version="1.1")
    provider = SubElement(root, "emailProvider", id=domain)
    _text(provider, "domain", domain)
    _text(provider, "displayName", servers.name)
    _text(provider, "displayShortName", servers.name)
    for server in servers.incoming:
        _server(provider, "incomingServer", server)
    _server(provider, "outgoingServer", servers.outgoing)
    indent(root)
    octets: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return octets + b"\n"


def _server(provider: Element, kind: str, server: Server) -> None:
    element = SubElement(provider, kind, type=server.protocol)
    _text(element, "hostname", server.host)
    _text(element, "port", str(server.port))
    _text(element, "socketType", _SOCKETS[server.security])
    # What goes over TLS only: AUTH PLAIN or LOGIN.
    _text(element, "authentication", "password-cleartext")
    _text(element, "username", "%EMAILADDRESS%")


def _text(parent: Element, name: str, text: str) -> None:
    SubElement(parent, name).text = text
