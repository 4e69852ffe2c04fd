"""What the scan of a message means for it: the verdict, the header field that tells it, what is done about it."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final

from twisted.logger import Logger

from lightmail.config import ClamavConfig
from lightmail.errors import SpoolFull, Unavailable
from lightmail.metrics import SCAN_SECONDS, SCANS
from lightmail.model import Virus
from lightmail.objects.spool import Spool
from lightmail.scanning import clamd
from lightmail.scanning.clamd import ClamdError, StreamTooLong
from lightmail.threads import BoundedPool

log = Logger()

# Messages that wait for a scan while others are scanned; each is in its spool, which has a bound of its own.
_QUEUE: Final = 1000
# No signature is longer; what is shown to a client fits into a line.
_SIGNATURE_CHARACTERS: Final = 100


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of a message after its scan: the virus in it, if there is one, and its status in words."""

    status: str
    virus: Virus | None = None

    @property
    def field(self) -> bytes:
        """The header field that tells it, with its CRLF."""
        return f"X-Virus-Status: {self.status}\r\n".encode("ascii")


class Scanner:
    """Has messages scanned, a bounded number at once, as the configuration says. Belongs to the reactor's thread."""

    def __init__(self, config: ClamavConfig, *, reactor: Any) -> None:
        self._config = config
        self._pool = BoundedPool("scans", config.scans_at_once, _QUEUE, reactor=reactor)

    def configure(self, config: ClamavConfig) -> None:
        """Scan by this configuration from now on."""
        self._config = config

    async def start(self) -> None:
        """Take in messages from now on."""
        self._pool.start()

    async def stop(self) -> None:
        """Return when the scans that have begun have ended."""
        await self._pool.stop()

    async def delivered(self, spool: Spool) -> Verdict | None:
        """The verdict on a message that is delivered; None: nothing is scanned.

        Raises Unavailable where there is none now and the message has to wait for it, SpoolFull.
        """
        return await self._verdict(spool) if self._config.enabled else None

    async def appended(self, spool: Spool) -> Verdict | None:
        """As `delivered`, for a message that a client brings."""
        return await self._verdict(spool) if self._config.enabled and self._config.append else None

    async def _verdict(self, spool: Spool) -> Verdict:
        config = self._config
        if spool.octets > config.max_octets:
            return _unscanned("too large for the scanner")
        began = time.perf_counter()
        try:
            signature = await self._pool.run(_scan, config.address, spool, config.timeout_ms / 1000)
        except StreamTooLong:
            log.warn(
                "clamd takes no message of {octets} octets: set its StreamMaxLength to [clamav] max_octets or more",
                octets=spool.octets,
            )
            return _unscanned("too large for the scanner")
        except ClamdError as error:
            return _failed(config, str(error))
        except SpoolFull:
            raise
        except Unavailable:
            return _failed(config, "too many messages wait for it")
        SCAN_SECONDS.observe(time.perf_counter() - began)
        if signature is None:
            SCANS.labels("clean").inc()
            return Verdict("Clean")
        SCANS.labels("infected").inc()
        name = signature[:_SIGNATURE_CHARACTERS]
        log.info("virus {signature} found in a message of {octets} octets", signature=name, octets=spool.octets)
        return Verdict(f"Infected ({name})", Virus(name, config.infected))


def _scan(address: str, spool: Spool, seconds: float) -> str | None:
    with closing(spool.open()) as message:
        return clamd.scan(address, message, seconds)


def _unscanned(why: str) -> Verdict:
    SCANS.labels("unscanned").inc()
    return Verdict(f"Not scanned ({why})")


def _failed(config: ClamavConfig, why: str) -> Verdict:
    """What becomes of a message that ought to be scanned and cannot be. Raises Unavailable where it has to wait."""
    SCANS.labels("failed").inc()
    log.error("a message was not scanned: clamd: {why}; look at {address}", why=why, address=config.address)
    if config.unavailable == "defer":
        raise Unavailable
    return Verdict("Not scanned (the scanner is not available)")
