"""Addresses as they are stored and compared."""

from __future__ import annotations

import unicodedata
from typing import Final

from lightmail.errors import Invalid

ADDRESS_OCTETS: Final = 320
DOMAIN_OCTETS: Final = 255
# Quoting and separators have no place in the address of an account; a server that took them would have to unquote.
_FORBIDDEN: Final = frozenset(' \t\r\n\0"(),:;<>@[\\]')


def normalised_domain(domain: str) -> str:
    """A domain in lower case and NFC, A-labels turned into U-labels; Invalid when it can be none."""
    text = unicodedata.normalize("NFC", domain.strip().rstrip(".").casefold())
    if "xn--" in text:
        try:
            text = unicodedata.normalize("NFC", text.encode("ascii").decode("idna"))
        except UnicodeError:
            raise Invalid("The domain name is not valid.") from None
    if len(text.encode()) > DOMAIN_OCTETS or not all(_is_label(label) for label in text.split(".")):
        raise Invalid("The domain name is not valid.")
    return text


def domain_in_dns(domain: str) -> str:
    """A normalised domain as DNS has it, U-labels turned into A-labels; as it is where that cannot be."""
    try:
        return domain.encode("idna").decode("ascii")
    except UnicodeError:
        return domain


def _is_label(label: str) -> bool:
    """Whether DNS could have it: letters of any script, digits, hyphens within; underscores as private networks do."""
    if not label or label[0] == "-" or label[-1] == "-":
        return False
    return all(c.isalnum() or c in "-_" or (c > "\x7f" and unicodedata.category(c)[0] == "M") for c in label)


def normalised(address: str) -> str:
    """An address as accounts and aliases are stored: both sides in lower case and NFC; Invalid when it can be none.

    The local part is folded too: users do not know the case of their own address, and senders do not keep it.
    """
    local, at, domain = address.strip().rpartition("@")
    local = unicodedata.normalize("NFC", local.casefold())
    if not at or not local or any(c in _FORBIDDEN or not c.isprintable() for c in local):
        raise Invalid("The address is not valid.")
    text = f"{local}@{normalised_domain(domain)}"
    if len(text.encode()) > ADDRESS_OCTETS:
        raise Invalid("The address is too long.")
    return text
