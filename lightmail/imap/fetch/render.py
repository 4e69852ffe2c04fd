"""From windows to octets: the answers of FETCH, in pieces of 64 to 128 KiB."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from lightmail.imap.fetch.plan import Plan
from lightmail.imap.fetch.window import Window

# What Twisted gives to the kernel in one go, at most; each further go costs 50 us.
PIECE_OCTETS: Final = 1 << 17


def answers(plan: Plan, window: Window) -> list[bytes]:
    """``* n FETCH (…)`` of each message of the window."""
    form = plan.form
    columns = [item.column(window) for item in plan.items]
    return [form % row for row in zip(window.rows.seqs, *columns, strict=True)]


def gathered(some: Iterable[bytes]) -> Iterator[bytes]:
    """`pieces` of answers that are long: they are never all copied into one."""
    held: list[bytes] = []
    octets = 0
    for answer in some:
        if held and octets + len(answer) > PIECE_OCTETS:
            yield b"".join(held)
            held.clear()
            octets = 0
        if len(answer) > PIECE_OCTETS:
            yield from pieces(answer)
        else:
            held.append(answer)
            octets += len(answer)
    if held:
        yield b"".join(held)


def pieces(octets: bytes) -> Iterator[bytes]:
    """`octets` cut so that whoever sends them can wait for a slow reader in between."""
    if len(octets) <= PIECE_OCTETS:
        yield octets
        return
    size = -(-len(octets) // -(-len(octets) // PIECE_OCTETS))
    for start in range(0, len(octets), size):
        yield octets[start : start + size]
