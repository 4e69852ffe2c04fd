"""The object store: reached, and an object can be put, read, listed and deleted."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Final

from lightmail.app.doctor.checks import Check, bad, good
from lightmail.config import Config
from lightmail.errors import ConfigError, MailError, StartupError
from lightmail.objects.backends import ObjectStore, open_unmetered

_OCTETS: Final = b"lightmail doctor"


def look(config: Config) -> Iterator[Check]:
    """The store of [storage]; a probe below ``meta/`` is put there and removed."""
    storage = config.storage
    where = (
        f"[s3] bucket = {config.s3.bucket}" if storage.driver == "s3" and config.s3 else f"[storage] {storage.driver}"
    )
    if storage.driver == "directory" and not os.path.isdir(storage.path):
        yield good("objects", where, f"{storage.path} is not there yet; the server makes it when it starts")
        return
    try:
        store = open_unmetered(storage, config.s3)
        store.check()
    except (StartupError, ConfigError) as error:
        yield bad("objects", where, str(error), "correct [s3] or [storage], or start the store")
        return
    yield _probe(where, store)


def _probe(where: str, store: ObjectStore) -> Check:
    """Put an object, and do with it what the server does with objects."""
    key = f"meta/doctor-{secrets.token_hex(8)}"
    steps: tuple[tuple[str, Callable[[], bool]], ...] = (
        ("put", lambda: _is_put(store, key)),
        ("read", lambda: store.read(key, 0, len(_OCTETS)) == _OCTETS),
        ("list", lambda: key in store.keys("meta", after=key[:-1])),
        ("delete", lambda: _is_deleted(store, key)),
    )
    times: list[str] = []
    for name, step in steps:
        began = time.perf_counter()
        try:
            if not step():
                return bad("objects", where, f"{name}: the store answers, and does not do it", _advice(name))
        except MailError as error:
            return bad("objects", where, f"{name}: {error.reason or error}", _advice(name))
        times.append(f"{name} {(time.perf_counter() - began) * 1000:.1f} ms")
    return good("objects", where, ", ".join(times))


def _is_put(store: ObjectStore, key: str) -> bool:
    store.put(key, _OCTETS)
    return store.size(key) == len(_OCTETS)


def _is_deleted(store: ObjectStore, key: str) -> bool:
    store.delete([key])
    return store.size(key) is None


def _advice(step: str) -> str:
    rights = {"put": "s3:PutObject", "read": "s3:GetObject", "list": "s3:ListBucket", "delete": "s3:DeleteObject"}
    return f"give the key the right {rights[step]} on the bucket, and look at the store's log"
