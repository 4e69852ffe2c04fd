"""Flag bits and their names in one mailbox, both ways, with a memo from bits to the text of a FLAGS item."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from lightmail.model import FIRST_KEYWORD_BIT, FIXED_FLAGS, LAST_KEYWORD_BIT

# Bit 63, the sign of a BIGINT, is clear in the store. A view sets it in the bits it hands out for messages that are
# \Recent in its session, so that one integer, in an array of signed 64-bit values too, says all a FLAGS item needs.
RECENT: Final = -(1 << 63)

_FIXED: Final = {name.lower(): 1 << bit for bit, name in enumerate(FIXED_FLAGS)}
_MEMO_ENTRIES: Final = 4096


class FlagText(dict[int, bytes]):
    """Bits (``RECENT`` among them) to the text between the parentheses of FLAGS; ``text[bits]`` renders a miss once.

    A mailbox sees few combinations of flags, so in bulk this is one dictionary look-up a message.
    """

    __slots__ = ("_names",)

    def __init__(self, names: dict[int, bytes]) -> None:
        super().__init__()
        self._names = names

    def __missing__(self, bits: int) -> bytes:
        if len(self) >= _MEMO_ENTRIES:
            self.clear()
        words = [name for mask, name in self._names.items() if bits & mask]
        if bits < 0:
            words.append(b"\\Recent")
        text = self[bits] = b" ".join(words)
        return text


class Keywords:
    """The flags of a mailbox: the fixed ones and the keywords of its ``keywords`` rows. Immutable.

    :param named: pairs of a bit's number (16 to 62) and its keyword, as the store holds them; a bit that rests has an
        empty one, and is taken all the same.
    """

    __slots__ = ("_masks", "_names", "named", "text")

    def __init__(self, named: Iterable[tuple[int, bytes]] = ()) -> None:
        self.named: Final = tuple(sorted(named))
        self._names = {1 << bit: name for bit, name in enumerate(FIXED_FLAGS)}
        self._names.update((1 << bit, name) for bit, name in self.named if name)
        self._masks = _FIXED | {name.lower(): 1 << bit for bit, name in self.named if name}
        self.text: Final = FlagText(self._names)

    @property
    def names(self) -> list[bytes]:
        """Every flag that a message here can have, for the FLAGS and PERMANENTFLAGS answers to SELECT."""
        return list(self._names.values())

    @property
    def full(self) -> bool:
        """Whether no bit is left for a new keyword, so that PERMANENTFLAGS has no ``\\*``."""
        return len(self.named) > LAST_KEYWORD_BIT - FIRST_KEYWORD_BIT

    def mask(self, name: bytes) -> int:
        """The one-bit mask of a flag, case-insensitively; 0 when no message here can have it."""
        return self._masks.get(name.lower(), 0)

    def masks(self, names: Iterable[bytes]) -> int:
        """The bits of several flags; unknown ones count for nothing."""
        bits = 0
        for name in names:
            bits |= self._masks.get(name.lower(), 0)
        return bits
