"""What an address says of who is at the other end of a connection."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from lightmail.peers import is_in, is_loopback, literal

NETWORKS = (ip_network("10.0.0.0/8"), ip_network("fe80::/10"))


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("", True),
        ("192.0.2.1", False),
        ("fe80::1%eth0", False),
        ("localhost.example", False),
    ],
)
def test_what_counts_as_this_host(address: str, expected: bool) -> None:
    assert is_loopback(address) is expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("fe80::1%eth0", True),
        ("192.0.2.1", False),
        ("2001:db8::1", False),
        ("", False),
        ("ten.example", False),
    ],
)
def test_what_is_in_a_network(address: str, expected: bool) -> None:
    assert is_in(address, NETWORKS) is expected
    assert not is_in(address, ())


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "IPv6:2001:db8::1"),
        ("fe80::1%eth0", "IPv6:fe80::1"),
        ("", ""),
        ("mx.example", ""),
    ],
)
def test_how_a_mail_header_writes_an_address(address: str, expected: str) -> None:
    assert literal(address) == expected
