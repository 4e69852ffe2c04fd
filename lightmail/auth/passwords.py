"""Password hashes: argon2id and bcrypt, made and checked. Everything here keeps a core busy: call it in a thread."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

import argon2
import bcrypt

from lightmail.auth.opaque import comparable, enforce
from lightmail.errors import Invalid

SCHEMES: Final = ("argon2id", "bcrypt")

# bcrypt looks at no more than this much of a password.
BCRYPT_OCTETS: Final = 72
_BCRYPT_COST: Final = 12
_BCRYPT_PREFIXES: Final = ("$2a$", "$2b$", "$2y$")
# RFC 9106 with one lane, as one core serves one login, and 32 MiB, as every core may be at it: about 60 ms.
_ARGON2: Final = argon2.PasswordHasher(time_cost=3, memory_cost=32 * 1024, parallelism=1)
_ARGON2_PREFIXES: Final = ("$argon2id$", "$argon2i$", "$argon2d$")
_BASE64: Final = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


class UnusableHash(ValueError):
    """A stored hash of a form that this server cannot check."""


def hash_password(password: str, scheme: str = "argon2id") -> str:
    """The hash of a new password, its salt and parameters included.

    Raises Invalid for a password that RFC 8265 does not permit, and for one that bcrypt would cut.
    """
    prepared = enforce(password).encode()
    if scheme == "argon2id":
        return _ARGON2.hash(prepared)
    if scheme != "bcrypt":
        raise Invalid(f"Unknown password scheme {scheme}; there are {' and '.join(SCHEMES)}.")
    if len(prepared) > BCRYPT_OCTETS:
        raise Invalid(f"A password of more than {BCRYPT_OCTETS} octets needs argon2id: bcrypt would ignore the rest.")
    return bcrypt.hashpw(prepared, bcrypt.gensalt(_BCRYPT_COST)).decode("ascii")


def verify(stored: str, password: str | bytes) -> bool:
    """Whether `password` (UTF-8 where octets) is the one that was hashed.

    Takes the same time for every password, right or wrong. Also takes hashes with a scheme in braces in front, as
    Dovecot writes them: ``{BLF-CRYPT}$2y$…``. Raises UnusableHash for anything else.
    """
    stored = _without_braces(stored)
    claimed = comparable(password)
    usable = claimed is not None
    octets = claimed if claimed is not None else b"never anybody's password"
    if stored.startswith(_ARGON2_PREFIXES):
        return _verify_argon2(stored, octets) and usable
    if not stored.startswith(_BCRYPT_PREFIXES):
        raise UnusableHash("neither argon2 nor bcrypt")
    if len(octets) > BCRYPT_OCTETS:
        # Whatever follows the 72nd octet counts too, so this is not the password; the work is done all the same.
        octets, usable = hashlib.sha256(octets).digest(), False
    try:
        return bcrypt.checkpw(octets, stored.encode("ascii")) and usable
    except ValueError as error:
        raise UnusableHash("bcrypt, but damaged") from error


def decoy(stored: str | None = None) -> str:
    """A hash that no password matches and that costs as much to check as `stored`; without it, as a new hash.

    For names that do not exist, so that the time of an answer does not tell them from those that do.
    """
    model = _without_braces(stored) if stored is not None else _ARGON2_MODEL
    head, _, digest = model.rpartition("$")
    if model.startswith(_BCRYPT_PREFIXES):
        # 22 characters of salt, whose last one carries two bits only, and 31 of digest.
        return f"{head}${_letters(21)}.{_letters(31)}"
    # argon2 writes base64 without dots, and the last character must have no bits left over.
    return f"{head}${_letters(len(digest) - 1).replace('.', 'a')}A"


def cost(stored: str) -> str:
    """What of a hash says how much work its check is: scheme and parameters. Two decoys of one cost serve alike."""
    stored = _without_braces(stored)
    return "$".join(stored.split("$")[: 4 if stored.startswith(_ARGON2_PREFIXES) else 3])


def _verify_argon2(stored: str, password: bytes) -> bool:
    try:
        return _ARGON2.verify(stored, password)
    except argon2.exceptions.VerifyMismatchError:
        return False
    except (argon2.exceptions.InvalidHashError, argon2.exceptions.VerificationError) as error:
        raise UnusableHash("argon2, but damaged") from error


def _without_braces(stored: str) -> str:
    return stored.partition("}")[2] if stored.startswith("{") else stored


def _letters(count: int) -> str:
    return "".join(secrets.choice(_BASE64) for _ in range(count))


# Salt and digest of the lengths that the hasher above writes; their content does not matter.
_ARGON2_MODEL: Final = f"$argon2id$v=19$m={_ARGON2.memory_cost},t={_ARGON2.time_cost},p={_ARGON2.parallelism}$" + (
    "c2FsdHNhbHRzYWx0c2FsdA$" + "A" * 43
)
