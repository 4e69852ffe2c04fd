"""Outlook's autodiscover as plain XML: the client posts its address to https://autodiscover.DOMAIN/autodiscover/
autodiscover.xml and is told where IMAP, POP3 and SMTP are ([MS-OXDSCLI] sections 2.2.3 and 2.2.4).
"""

from __future__ import annotations

from typing import Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring
from xml.parsers import expat

from lightmail.errors import Invalid
from lightmail.web.discovery.servers import Server, Servers

CONTENT_TYPE: Final = "text/xml; charset=utf-8"

_RESPONSE: Final = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006"
_OUTLOOK: Final = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
_ADDRESS_OCTETS: Final = 320
_WANTED: Final = frozenset({"EMailAddress", "AcceptableResponseSchema"})


def requested_address(body: bytes) -> str:
    """The address that an Outlook's request asks for.

    Raises Invalid where the body is no such request, or wants an answer in another schema: phones ask for ActiveSync.
    """
    reader = _RequestReader()
    reader.read(body)
    schema = reader.found.get("AcceptableResponseSchema", _OUTLOOK)
    if schema != _OUTLOOK:
        raise Invalid("Only answers for Outlook are given: " + _OUTLOOK)
    address = reader.found.get("EMailAddress", "")
    if not address:
        raise Invalid("The request names no EMailAddress.")
    return address


class _RequestReader:
    """Picks two texts out of a request. Documents with a DTD are refused: entities are what makes XML explode."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self._inside: str | None = None
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.StartDoctypeDeclHandler = self._doctype

    def read(self, body: bytes) -> None:
        """Read the whole of it. Raises Invalid."""
        try:
            self._parser.Parse(body, True)
        except expat.ExpatError:
            raise Invalid("The request is not XML.") from None

    def _start(self, name: str, attributes: object) -> None:
        local = name.rpartition(" ")[2]
        self._inside = local if local in _WANTED and local not in self.found else None
        if self._inside is not None:
            self.found[local] = ""

    def _end(self, name: str) -> None:
        if self._inside is not None:
            self.found[self._inside] = self.found[self._inside].strip()
        self._inside = None

    def _characters(self, text: str) -> None:
        if self._inside is None:
            return
        self.found[self._inside] += text
        if len(self.found[self._inside]) > _ADDRESS_OCTETS:
            raise Invalid("The request is too long.")

    def _doctype(self, *_names: object) -> None:
        raise Invalid("The request must not have a DOCTYPE.")


def autodiscover(servers: Servers, address: str) -> bytes:
    """What Outlook is told for `address`."""
    root = Element("Autodiscover", xmlns=_RESPONSE)
    account = SubElement(SubElement(root, "Response", xmlns=_OUTLOOK), "Account")
    _text(account, "AccountType", "email")
    _text(account, "Action", "settings")
    for protocol in ("imap", "pop3"):
        server = servers.first(protocol)
        if server is not None:
            _protocol(account, server, address)
    _protocol(account, servers.outgoing, address)
    indent(root)
    octets: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return octets + b"\n"


def _protocol(account: Element, server: Server, address: str) -> None:
    element = SubElement(account, "Protocol")
    _text(element, "Type", server.protocol.upper())
    _text(element, "Server", server.host)
    _text(element, "Port", str(server.port))
    _text(element, "DomainRequired", "off")
    _text(element, "LoginName", address)
    _text(element, "SPA", "off")
    # Outlook from 2010 on reads Encryption, and SSL where that is missing.
    _text(element, "SSL", "on")
    _text(element, "Encryption", "SSL" if server.security == "tls" else "TLS")
    _text(element, "AuthRequired", "on")
    if server.protocol == "smtp":
        _text(element, "UsePOPAuth", "on")
        _text(element, "SMTPLast", "off")


def _text(parent: Element, name: str, text: str) -> None:
    SubElement(parent, name).text = text
