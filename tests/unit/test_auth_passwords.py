"""Hashes accept their password and no other, whatever its length and however it was typed."""

from __future__ import annotations

import bcrypt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightmail.auth import passwords
from lightmail.auth.opaque import comparable, enforce
from lightmail.errors import Invalid


def cheap_bcrypt(password: bytes) -> str:
    return bcrypt.hashpw(password, bcrypt.gensalt(4)).decode()


@pytest.mark.parametrize("scheme", passwords.SCHEMES)
def test_a_hash_takes_its_password_and_no_other(scheme: str) -> None:
    stored = passwords.hash_password("correct horse", scheme)
    assert passwords.verify(stored, b"correct horse")
    for wrong in (b"", b"Correct horse", b"correct horse ", b"correct horse\0", b"\xff\xfe", b"x" * 5000):
        assert not passwords.verify(stored, wrong)
    assert stored != passwords.hash_password("correct horse", scheme), "salted"


def test_every_octet_counts() -> None:
    password = "x" * 80
    with pytest.raises(Invalid):
        passwords.hash_password(password, "bcrypt")
    stored = passwords.hash_password(password)
    assert passwords.verify(stored, password)
    assert not passwords.verify(stored, password + "y")
    assert not passwords.verify(stored, "x" * 72)


def test_a_bcrypt_hash_of_72_octets_is_not_opened_by_more() -> None:
    stored = cheap_bcrypt(b"x" * 72)
    assert passwords.verify(stored, "x" * 72)
    assert not passwords.verify(stored, "x" * 73)
    assert not passwords.verify(cheap_bcrypt("é".encode() * 36), "é" * 37)


@pytest.mark.parametrize("prefix", ["", "{BLF-CRYPT}", "{CRYPT}"])
@pytest.mark.parametrize("variant", ["$2a$", "$2b$", "$2y$"])
def test_hashes_of_other_servers_are_taken(prefix: str, variant: str) -> None:
    stored = prefix + cheap_bcrypt(b"secret").replace("$2b$", variant)
    assert passwords.verify(stored, b"secret")
    assert not passwords.verify(stored, b"Secret")


@pytest.mark.parametrize("stored", ["", "secret", "{PLAIN}secret", "$2b$12$short", "$argon2id$v=19$m=1,t=1", "$1$a$b"])
def test_a_hash_of_another_form_is_an_error_and_no_wrong_password(stored: str) -> None:
    with pytest.raises(passwords.UnusableHash):
        passwords.verify(stored, b"secret")


def test_an_unknown_scheme_is_refused() -> None:
    with pytest.raises(Invalid):
        passwords.hash_password("secret", "md5")


@pytest.mark.parametrize("stored", [None, cheap_bcrypt(b"secret"), "{BLF-CRYPT}" + cheap_bcrypt(b"secret")])
def test_a_decoy_is_checked_like_the_real_one_and_never_right(stored: str | None) -> None:
    decoy = passwords.decoy(stored)
    assert not passwords.verify(decoy, b"secret")
    assert decoy != passwords.decoy(stored)
    if stored is not None:
        assert passwords.cost(decoy) == passwords.cost(stored)
    assert passwords.cost(decoy) == passwords.cost(decoy)


def test_a_decoy_costs_what_a_new_hash_costs() -> None:
    assert passwords.cost(passwords.decoy()) == passwords.cost(passwords.hash_password("secret"))


@pytest.mark.parametrize(
    ("typed", "same"),
    [
        ("Pa\u0308sswort", "P\u00e4sswort"),  # decomposed and composed
        ("a\u00a0b", "a b"),  # a no-break space
        ("a\u3000b", "a b"),  # an ideographic space
        ("\u2126", "\u03a9"),  # the ohm sign is an omega by NFC
    ],
)
def test_the_same_password_typed_on_another_system(typed: str, same: str) -> None:
    assert enforce(typed) == enforce(same)
    assert comparable(typed.encode()) == comparable(same)


@pytest.mark.parametrize("kept", ["Correct Horse Battery Staple", "π ✓ ß", "ﬁ", "Ａ", "Richard ", "ทดสอบ", "пароль"])
def test_case_width_and_compatibility_forms_stay(kept: str) -> None:
    assert enforce(kept) == kept  # examples of RFC 8265 section 4.3 among them


@pytest.mark.parametrize(
    "refused",
    ["", "my cat is a \tby", "a\0b", "a\u007f", "\u200bx", "\ufeffx", "\ud800", "\u0378", "\ue000", "\u2028", "\u0640"],
)
def test_what_cannot_be_typed_is_refused(refused: str) -> None:
    with pytest.raises(Invalid):
        enforce(refused)


@pytest.mark.parametrize(
    ("text", "permitted"),
    [
        ("l\u00b7l", True),
        ("a\u00b7b", False),
        ("\u0375\u03b1", True),
        ("\u0375a", False),
        ("\u05d0\u05f3", True),
        ("a\u05f4", False),
        ("\u30a2\u30fb\u30a2", True),
        ("a\u30fba", False),
        ("\u0661\u0662", True),
        ("\u0661\u06f2", False),
        ("\u0915\u094d\u200d\u0937", True),  # a joiner after a virama
        ("\u0645\u06cc\u200c\u062e", True),  # a non-joiner between Arabic letters
        ("a\u200db", False),
    ],
)
def test_contextual_characters_need_their_context(text: str, permitted: bool) -> None:
    if permitted:
        assert enforce(text) == text
    else:
        with pytest.raises(Invalid):
            enforce(text)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40))
def test_preparing_twice_changes_nothing_and_never_raises_but_invalid(password: str) -> None:
    try:
        prepared = enforce(password)
    except Invalid:
        return
    assert enforce(prepared) == prepared
    assert comparable(password) == comparable(prepared.encode()) == prepared.encode()


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40))
def test_any_octets_may_be_claimed(claimed: bytes) -> None:
    prepared = comparable(claimed)
    assert prepared is None or comparable(prepared) == prepared
