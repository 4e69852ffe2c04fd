"""From an address as RCPT gives it to the addresses that are looked up."""

from __future__ import annotations

import pytest

from lightmail.delivery.addresses import candidates, parse


@pytest.mark.parametrize(
    ("given", "forms"),
    [
        ("user@example.org", ["user@example.org"]),
        ("User@EXAMPLE.org", ["user@example.org"]),
        ("user@example.org.", ["user@example.org"]),
        ("user+tag@example.org", ["user+tag@example.org", "user@example.org"]),
        ("user+a+b@example.org", ["user+a+b@example.org", "user@example.org"]),
        ("user+@example.org", ["user@example.org"]),
        ("+tag@example.org", ["+tag@example.org"]),
        ('"user"@example.org', ["user@example.org"]),
        ('"us\\er+tag"@example.org', ["user+tag@example.org", "user@example.org"]),
        ("ju\u0308rgen@bu\u0308cher.example", ["jürgen@bücher.example"]),
        ("user@xn--bcher-kva.example", ["user@bücher.example"]),
        ("postmaster", ["postmaster@mx.example.org"]),
        ("Postmaster", ["postmaster@mx.example.org"]),
        ("user", []),
        ("@example.org", []),
        ("user@", []),
        ('"a@b"@example.org', []),
        ('"\\"@example.org', []),
        ("user@[192.0.2.1]", []),
        ("u" * 400 + "@example.org", []),
    ],
)
def test_addresses_are_looked_up_in_their_stored_form(given: str, forms: list[str]) -> None:
    assert candidates(parse(given, "mx.example.org")) == forms


def test_a_tag_keeps_its_case_for_it_names_a_mailbox() -> None:
    assert parse("user+Lists/Python@example.org", "mx").tag == "Lists/Python"
