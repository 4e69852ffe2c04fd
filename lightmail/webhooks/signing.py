"""Signatures of requests as Standard Webhooks 1.0 has them (https://www.standardwebhooks.com)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from typing import Final

PREFIX: Final = "whsec_"
_SECRET_OCTETS: Final = 32


def new_secret() -> str:
    """A random secret, as the configuration and the receiver take it."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_OCTETS)).decode("ascii")


def signing_keys(secret: str, token: str) -> tuple[bytes, ...]:
    """The keys to sign with: those of ``[webhook] secret``, of which there may be several, or else its token."""
    words = [word for word in re.split(r"[,\s]+", secret) if word]
    if not words:
        return (token.encode("utf-8"),)
    return tuple(base64.b64decode(word.removeprefix(PREFIX)) for word in words)


def signature_headers(keys: Sequence[bytes], event_id: str, at_seconds: int, body: bytes) -> dict[str, str]:
    """The headers that name and sign an attempt made at that Unix time; the same event has the same id each time."""
    signed = f"{event_id}.{at_seconds}.".encode("ascii") + body
    signatures = [base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode("ascii") for key in keys]
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(at_seconds),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }
