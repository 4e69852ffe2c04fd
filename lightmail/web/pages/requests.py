"""From a request's octets to what pages work with: cookies, forms, and where it comes from."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from lightmail.config import Network
from lightmail.peers import ip_of, is_in, is_loopback
from lightmail.web.http import BoundedRequest

_MOST_FIELDS: Final = 200
_HOST: Final = re.compile(r"[A-Za-z0-9.:\[\]-]{1,260}")
# With __Host- no neighbouring host and no plain page of ours can set it (RFC 6265bis section 4.1.3.2).
_SECURE_COOKIE: Final = "__Host-lightmail"
_PLAIN_COOKIE: Final = "lightmail"


class BadForm(Exception):
    """A query or form that cannot be read; the text says why."""


def fields(octets: bytes) -> Mapping[str, str]:
    """The fields of a query or a form; of a name that comes twice, the last. Raises BadForm."""
    try:
        pairs = parse_qsl(octets.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise BadForm(f"It is not UTF-8, or has over {_MOST_FIELDS} fields.") from None
    return dict(pairs)


def form(request: BoundedRequest) -> Mapping[str, str]:
    """The fields of a request's body. Raises BadForm."""
    if request.too_big or request.crowded:
        raise BadForm("It is too big.")
    kind = request.requestHeaders.getRawHeaders(b"content-type", [b""])[-1].lower().partition(b";")[0].strip()
    if kind != b"application/x-www-form-urlencoded":
        raise BadForm("It is not a form.")
    return fields(request.body())


def origin(request: BoundedRequest, trusted: Collection[Network]) -> str:
    """The IP address of the client; the one that a trusted proxy says it had the request from."""
    forwarded = request.requestHeaders.getRawHeaders(b"x-forwarded-for")
    if forwarded and is_in(request.peer, trusted):
        said = ip_of(forwarded[-1].rpartition(b",")[2].strip().decode("ascii", "replace"))
        return str(said) if said is not None else request.peer
    return request.peer


def is_secure(request: BoundedRequest, trusted: Collection[Network]) -> bool:
    """Whether the browser speaks TLS, with us or with a proxy that is trusted or on this host."""
    if request.isSecure():  # type: ignore[no-untyped-call]
        return True
    said = request.requestHeaders.getRawHeaders(b"x-forwarded-proto", [b""])[-1].strip().lower()
    return said == b"https" and (is_in(request.peer, trusted) or is_loopback(request.peer))


def site(request: BoundedRequest, trusted: Collection[Network]) -> str:
    """Where the browser found this server, such as https://mail.example.org:8443; empty where it does not speak TLS."""
    host = request.requestHeaders.getRawHeaders(b"host", [b""])[-1].decode("ascii", "replace")
    known = is_secure(request, trusted) and _HOST.fullmatch(host) is not None
    return f"https://{host}" if known else ""


def secret(request: BoundedRequest, secure: bool) -> str:
    """What the session's cookie holds, empty without one."""
    octets: bytes | None = request.getCookie(_name(secure).encode("ascii"))  # type: ignore[no-untyped-call]
    return octets.decode("ascii", "replace") if octets is not None else ""


def cookie(value: str, secure: bool) -> str:
    """The Set-Cookie of a session; with an empty value, of its end. It lives as long as the browser."""
    end = "; Max-Age=0" if not value else ""
    return f"{_name(secure)}={value}; Path=/; HttpOnly; SameSite=Strict{'; Secure' if secure else ''}{end}"


def _name(secure: bool) -> str:
    return _SECURE_COOKIE if secure else _PLAIN_COOKIE


def is_from_here(request: BoundedRequest) -> bool:
    """Whether a form was sent by a page of this site, as far as the browser says: it says so by Sec-Fetch-Site, an old
    one by Origin."""
    site = request.requestHeaders.getRawHeaders(b"sec-fetch-site")
    if site:
        return site[-1] == b"same-origin"
    said = request.requestHeaders.getRawHeaders(b"origin")
    host = request.requestHeaders.getRawHeaders(b"host")
    if not said or not host:
        return False
    try:
        return urlsplit(said[-1].decode("ascii")).netloc.encode("ascii") == host[-1]
    except ValueError:
        return False
