"""What of a folder is here already: the keys of its messages, in pages of the database (`store.imports`)."""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Sequence
from typing import Final

from lightmail.jobs.importing.source import KEY_OCTETS, Folder
from lightmail.model import Account
from lightmail.store.imports import Page, page_name

# A page is written anew with every batch: this many keys are 43 KiB.
_PAGE_KEYS: Final = 4096


def ledger_name(account: Account, identity: str, folder: Folder, target: str) -> str:
    """What a folder of a source, on its way to the mailbox `target`, is called in the database."""
    parts = (account.uuid, *(text.encode("utf-8", "surrogateescape") for text in (identity, folder.place, target)))
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:32]


class Ledger:
    """The keys that were brought, of a folder. `pages` are what the database holds of them."""

    def __init__(self, name: str, place: str, pages: Sequence[bytes]) -> None:
        self.name = name
        self.keys: set[bytes] = set()
        self._place = place
        self._number = max(len(pages) - 1, 0)
        self._state: bytes | None = pages[-1] if pages else None
        self._packed = b""
        for page in pages:
            self._packed = b64decode(json.loads(page)["brought"])
            self.keys |= {self._packed[at : at + KEY_OCTETS] for at in range(0, len(self._packed), KEY_OCTETS)}

    def page_with(self, keys: Sequence[bytes]) -> Page:
        """The page to write beside messages of these keys; `written` tells that it was."""
        if len(self._packed) >= _PAGE_KEYS * KEY_OCTETS:
            self._number, self._state, self._packed = self._number + 1, None, b""
        brought = b64encode(self._packed + b"".join(keys)).decode("ascii")
        after = json.dumps({"place": self._place, "brought": brought}, separators=(",", ":")).encode("ascii")
        return Page(page_name(self.name, self._number), self._state, after)

    def written(self, page: Page, keys: Sequence[bytes]) -> None:
        """The page is committed."""
        self._state = page.after
        self._packed += b"".join(keys)
        self.keys.update(keys)

    def knows_none_of(self, keys: Sequence[bytes], generation_octets: int) -> bool:
        """Whether the source has numbered its messages anew, so that none of its keys can be known."""
        if not generation_octets or not self.keys or not keys:
            return False
        known = {key[:generation_octets] for key in self.keys}
        return all(key[:generation_octets] not in known for key in keys)
