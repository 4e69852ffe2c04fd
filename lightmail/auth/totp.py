"""Codes of authenticator apps: time-based one-time passwords (RFC 6238) of six digits, each good for half a minute."""

from __future__ import annotations

import base64
import hmac
import secrets
import struct
from typing import Final
from urllib.parse import quote

SECRET_OCTETS: Final = 20
DIGITS: Final = 6
STEP_SECONDS: Final = 30
# Steps that a client's clock may be off, or its owner slow (RFC 6238 section 5.2).
_DRIFT: Final = 1


def new_secret() -> bytes:
    """A secret to share with an authenticator app."""
    return secrets.token_bytes(SECRET_OCTETS)


def code(secret: bytes, step: int) -> str:
    """The code of a time step (RFC 4226 section 5.3)."""
    digest = hmac.digest(secret, struct.pack(">Q", step), "sha1")
    offset = digest[-1] & 15
    (number,) = struct.unpack_from(">I", digest, offset)
    return f"{(number & 0x7FFFFFFF) % 10**DIGITS:0{DIGITS}}"


def matching_step(secret: bytes, given: str, seconds: float, last_step: int) -> int | None:
    """The time step whose code was `given` at `seconds` Unix time, None where there is none.

    A code is taken once: steps up to `last_step` are not looked at. Spaces in what people type do not count.
    """
    typed = "".join(given.split()).encode("utf-8", "replace")
    now = int(seconds) // STEP_SECONDS
    found = None
    for step in range(now - _DRIFT, now + _DRIFT + 1):
        if hmac.compare_digest(code(secret, step).encode("ascii"), typed) and step > last_step:
            found = step
    return found


def key_text(secret: bytes) -> str:
    """The secret as a person types it: base32 in groups of four."""
    text = base64.b32encode(secret).decode("ascii").rstrip("=")
    return " ".join(text[start : start + 4] for start in range(0, len(text), 4))


def key_uri(secret: bytes, name: str, issuer: str) -> str:
    """The secret as authenticator apps read it from a link or a QR code: ``otpauth://totp/…``."""
    label = f"{quote(issuer, safe='')}:{quote(name, safe='')}"
    key = base64.b32encode(secret).decode("ascii").rstrip("=")
    return f"otpauth://totp/{label}?secret={key}&issuer={quote(issuer, safe='')}&digits={DIGITS}&period={STEP_SECONDS}"
