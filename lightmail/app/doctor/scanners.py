"""The virus scanner: reached, with recent signatures, and taking messages as long as we send it."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Iterator
from typing import BinaryIO, Final, cast

from lightmail.app.doctor.checks import Check, bad, good, warning
from lightmail.config import ClamavConfig, Config
from lightmail.scanning import clamd
from lightmail.scanning.clamd import ClamdError, StreamTooLong

_ANSWER_SECONDS: Final = 10.0
_SCAN_SECONDS: Final = 60.0
# Signatures come out every day.
_OLD_DAYS: Final = 7
_FRESHCLAM: Final = "look at freshclam: systemctl status clamav-freshclam"
# The file that every scanner finds (https://www.eicar.org), in pieces, so that none finds it here.
_EICAR: Final = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
_PADDING: Final = b"Nothing is in this line, which has no virus in it and only makes the message longer\r\n"


def look(config: Config) -> Iterator[Check]:
    """The daemon of [clamav], where messages are to be scanned."""
    clamav = config.clamav
    if not clamav.enabled:
        return
    where = f"[clamav] address = {clamav.address}"
    try:
        version = clamd.version(clamav.address, _ANSWER_SECONDS)
    except ClamdError as error:
        advice = "start it (systemctl status clamav-daemon), let the server's user in, or correct the address"
        yield bad("scanner", where, str(error), advice)
        return
    name, *signatures = version.split("/", 2)
    if not name.startswith("ClamAV "):
        yield bad("scanner", where, f"something that is no clamd answers: {version[:60]}", "correct the address")
        return
    yield good("scanner", where, f"{name} answers")
    yield _signatures(where, signatures, time.time())
    yield _length(where, clamav)


def _signatures(where: str, about: list[str], now: float) -> Check:
    """How old the signatures are, by their number and their day as ctime(3) writes it."""
    try:
        number, text = about
        made = time.mktime(time.strptime(" ".join(text.split()), "%a %b %d %H:%M:%S %Y"))
    except ValueError:
        found = "it has none of ClamAV's own, or does not say of when they are"
        return warning("signatures", where, found, _FRESHCLAM)
    days = int((now - made) // 86400)
    found = f"number {number}, of {time.strftime('%Y-%m-%d', time.localtime(made))}"
    if days > _OLD_DAYS:
        return warning("signatures", where, f"{found}: {days} days old", _FRESHCLAM)
    return good("signatures", where, found)


def _length(where: str, clamav: ClamavConfig) -> Check:
    """Whether it finds what is in a short message, and in the longest one that we send it.

    What is over MaxFileSize or MaxScanSize it does not look into, and calls it clean.
    """
    octets = clamav.max_octets
    keys = (
        f"StreamMaxLength, MaxFileSize and MaxScanSize of clamd.conf to {octets} or more, or lower [clamav] max_octets"
    )
    try:
        if clamd.scan(clamav.address, _message(0), _SCAN_SECONDS) is None:
            found = "it does not find the EICAR test file in a message"
            return warning("scan", where, found, "run freshclam; ScanMail of clamd.conf must be on")
        began = time.perf_counter()
        signature = clamd.scan(clamav.address, _message(octets), _SCAN_SECONDS)
    except StreamTooLong:
        found = f"it takes no message of {octets} octets: longer ones than it takes are delivered unscanned"
        return warning("scan", where, found, f"set {keys}")
    except ClamdError as error:
        return bad("scan", where, str(error), "look at clamd's log")
    if signature is None:
        found = f"it calls a message of {octets} octets clean without looking into it"
        return warning("scan", where, found, f"set {keys}")
    seconds = time.perf_counter() - began
    return good("scan", where, f"it finds {signature}, in a message of {octets} octets within {seconds:.1f} s, too")


def _message(octets: int) -> BinaryIO:
    """A message with EICAR's test file attached, and then text up to so many octets."""
    head = (
        b"From: doctor@localhost\r\nSubject: lightmail doctor\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
        b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.b64encode(_EICAR)
        + b"\r\n--b\r\nContent-Type: text/plain\r\n\r\n"
    )
    return cast(BinaryIO, _Padded(head, octets))


class _Padded:
    """A file that begins with `head`, and has `octets` in all where that is more; it takes no memory to speak of."""

    def __init__(self, head: bytes, octets: int) -> None:
        self._head = io.BytesIO(head)
        self._left = max(octets - len(head), 0)

    def read(self, size: int) -> bytes:
        """The next octets, at most so many; none at the end."""
        if chunk := self._head.read(size):
            return chunk
        count = min(size, self._left)
        self._left -= count
        return (_PADDING * (count // len(_PADDING) + 1))[:count]
