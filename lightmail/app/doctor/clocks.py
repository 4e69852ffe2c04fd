"""The clocks: ours, the object store's; the database's is asked in `databases`."""

from __future__ import annotations

import ctypes
import http.client
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

from lightmail.app.doctor.checks import Check, bad, good, warning
from lightmail.config import Config, S3Config
from lightmail.errors import ConfigError
from lightmail.objects.cloud import endpoint_url

# S3 refuses requests that are a quarter of an hour off; we refuse rows whose objects are an hour off.
_TOO_FAR: Final = 600.0
_FAR: Final = 5.0
_ANSWER_SECONDS: Final = 10.0
_TIME_ERROR: Final = 5
_ADVICE: Final = "let chrony or systemd-timesyncd set the clock on both hosts"


def look(config: Config) -> Iterator[Check]:
    """Whether this host's clock is kept, and how far the object store's is from it."""
    yield _kept()
    if config.storage.driver == "s3" and config.s3 is not None:
        yield _object_store(config.s3)


def apart(name: str, where: str, ahead_seconds: float) -> Check:
    """What it means that another clock is so far ahead of ours."""
    found = f"{abs(ahead_seconds):.1f} s {'ahead of' if ahead_seconds > 0 else 'behind'} this host's"
    if abs(ahead_seconds) > _TOO_FAR:
        return bad(name, where, found, _ADVICE)
    if abs(ahead_seconds) > _FAR:
        return warning(name, where, found, _ADVICE)
    return good(name, where, found if abs(ahead_seconds) >= 1 else "the same as this host's")


def _kept() -> Check:
    """What the kernel says of whoever keeps its clock (adjtimex(2))."""
    looked_at = "this host's clock"
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(512))
    except (OSError, AttributeError):
        state = -1
    if state < 0:
        return warning(
            "clock", looked_at, "whether it is kept cannot be told here", "look at `timedatectl` on the host"
        )
    if state == _TIME_ERROR:
        advice = "install chrony or systemd-timesyncd; in a container, look at its host"
        return warning("clock", looked_at, "nothing keeps it right", advice)
    return good("clock", looked_at, f"it is kept by NTP: {time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime())} UTC")


def _object_store(s3: S3Config) -> Check:
    where = f"[s3] endpoint = {s3.endpoint or 'Amazon S3'}"
    try:
        url = endpoint_url(s3.endpoint, s3.use_ssl) if s3.endpoint else f"https://s3.{s3.region}.amazonaws.com"
        parts = urlsplit(url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=_ANSWER_SECONDS)
        try:
            connection.request("HEAD", "/")
            date = connection.getresponse().headers.get("Date")
        finally:
            connection.close()
        if date is None:
            return warning("clock of the objects", where, "it does not tell its time", "compare it by hand")
        # The header has no fractions: half a second is what it is off by in the mean.
        return apart("clock of the objects", where, parsedate_to_datetime(date).timestamp() + 0.5 - time.time())
    except (OSError, http.client.HTTPException, ValueError, ConfigError) as error:
        return warning("clock of the objects", where, f"it could not be asked: {error}", "see the check of the objects")
