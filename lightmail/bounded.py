"""Cutting a list of things that take memory into runs of which each fits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def runs(octets: Sequence[int], *, most_octets: int, most: int) -> Iterator[tuple[int, int]]:
    """Cut things that take `octets` of memory each into runs (start, stop) of at most `most` and `most_octets` in all.

    What takes more than `most_octets` by itself is a run of its own.
    """
    start = held = 0
    for at, cost in enumerate(octets):
        if at > start and (held + cost > most_octets or at - start == most):
            yield start, at
            start, held = at, 0
        held += cost
    if start < len(octets):
        yield start, len(octets)
