"""A process that stores one large message and reads it back, and prints by how much that raised its peak memory.

``python -m tests.support.largeblob DRIVER DIRECTORY MIB [ENDPOINT BUCKET ACCESS_KEY SECRET_KEY]``; prints octets.
"""

from __future__ import annotations

import base64
import random
import sys
from collections.abc import Iterator

from twisted.internet import reactor

from lightmail.arenas import share_arenas
from lightmail.config import S3Config, StorageConfig
from lightmail.model import BlobRef, MailboxId
from lightmail.objects.backends import open_store
from lightmail.objects.blobs import Blobs
from lightmail.objects.spool import Spools
from lightmail.threads import BoundedPool
from tests.support.reactor import call, run


def peak_octets() -> int:
    """The most memory this process has ever had resident."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def attachment(octets: int) -> Iterator[bytes]:
    """A message of base64 that does not compress much, a little at a time."""
    source = random.Random(1)
    yield b"From: a@example.org\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    while octets > 0:
        piece = base64.encodebytes(source.randbytes(30_000)).replace(b"\n", b"\r\n")
        yield piece
        octets -= len(piece)


async def there_and_back(blobs: Blobs, spools: Spools, octets: int) -> None:
    spool = spools.new()
    for piece in attachment(octets):
        spool.write(piece)
        if spool.needs_flush:
            await spool.flush()
    stored = await blobs.write(spool, internaldate_us=0, owners=[(bytes(16), MailboxId(1))])
    spool.close()
    ref = BlobRef(
        bytes(16), stored.key, stored.octets, stored.stored_octets, stored.codec, stored.sha256, stored.frames
    )
    read = 0
    async for chunk in blobs.chunks(ref):
        read += len(chunk)
    assert read == stored.octets >= octets


def main(driver: str, directory: str, mebibytes: str, *s3: str) -> None:
    """Warm up with a message of some kilobytes, then measure the large one, with memory shared as a server does."""
    share_arenas()
    config = S3Config(endpoint=s3[0], bucket=s3[1], access_key=s3[2], secret_key=s3[3]) if s3 else None
    store = open_store(StorageConfig(driver=driver, path=f"{directory}/objects"), config)
    store.check()
    pool = BoundedPool("objects", threads=16, queue=100, reactor=reactor)
    call(pool.start)
    blobs, spools = Blobs(store, pool, directory=directory), Spools(pool, directory)
    run(there_and_back(blobs, spools, 50_000))
    before = peak_octets()
    run(there_and_back(blobs, spools, int(mebibytes) << 20))
    print(peak_octets() - before)
    run(pool.stop())


if __name__ == "__main__":
    main(*sys.argv[1:])
