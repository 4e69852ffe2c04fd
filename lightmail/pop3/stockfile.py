"""A message as Twisted's stock POP3 server wants it: a file whose lines end with LF."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from typing import Final

_MEMORY_OCTETS: Final = 1 << 20


class StockFile:
    """Reads from a temporary file, and closes it at its end or when it is forgotten: the stock server never does."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_MEMORY_OCTETS)  # noqa: SIM115

    async def fill(self, chunks: AsyncIterator[bytes]) -> StockFile:
        """Take in a message's octets, and go back to their start."""
        held = b""
        async for chunk in chunks:
            data = held + chunk
            # A CRLF may be cut in two.
            held = b"\r" if data.endswith(b"\r") else b""
            self._file.write(data.removesuffix(held).replace(b"\r\n", b"\n"))
        self._file.write(held)
        self._file.seek(0)
        return self

    def read(self, octets: int = -1) -> bytes:
        """The next octets; none at the end, and from then on."""
        if self._file.closed:
            return b""
        data = self._file.read(octets)
        if not data:
            self._file.close()
        return data

    def close(self) -> None:
        """Free the file."""
        self._file.close()

    def __del__(self) -> None:
        self._file.close()
