"""What the address of the other end of a connection says: this host's own, in a network, as a mail header writes it.

An address is what Twisted calls the host of a peer: an IP address, perhaps with a zone (``fe80::1%eth0``), and empty
for a Unix socket. What is neither counts as a stranger's.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

from lightmail.config import Network


def ip_of(address: str) -> IPv4Address | IPv6Address | None:
    """The IP address without its zone, an IPv4 address as such where IPv6 wraps it; None if it is none."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return mapped or ip


def is_loopback(address: str) -> bool:
    """Whether the peer is on this host."""
    ip = ip_of(address)
    return ip.is_loopback if ip is not None else not address


def is_in(address: str, networks: Iterable[Network]) -> bool:
    """Whether the peer is in one of `networks`; over a Unix socket it is in none."""
    ip = ip_of(address)
    return ip is not None and any(ip in network for network in networks)


def literal(address: str) -> str:
    """The inside of an address literal (RFC 5321 section 4.1.3), ``192.0.2.1`` or ``IPv6:2001:db8::1``; else empty."""
    ip = ip_of(address)
    if ip is None:
        return ""
    return f"IPv6:{ip}" if ip.version == 6 else str(ip)
