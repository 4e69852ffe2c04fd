"""What one session reads before it is asked for it, so that many messages take one hand-off to a thread.

A hand-off costs more than reading a message, expanding it and sending it. So when one is needed, what the client will
ask for next is read along with it: the messages of commands that wait behind this one, or those that follow where a
client goes through a mailbox in order. It is a hint and never an answer: blobs never change, so whoever asks for one
gets the same octets from here as from its object, and whoever does not has cost some reading.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

from lightmail.model import BlobRef

# What one hand-off reads ahead at most, and what is held for all sessions together.
AHEAD_MESSAGES: Final = 32
AHEAD_OCTETS: Final = 1 << 20
SMALL_OCTETS: Final = 256 << 10
_ALL_SESSIONS_OCTETS: Final = 32 << 20

# Tells what will probably be wanted next, in that order. Asked only when a hand-off is needed; raises nothing.
Following: TypeAlias = Callable[[], Awaitable[Sequence[BlobRef]]]


class Room:
    """How many octets are held for all sessions together, and how many more may be."""

    __slots__ = ("_bound", "held")

    def __init__(self, bound: int = _ALL_SESSIONS_OCTETS) -> None:
        self._bound = bound
        self.held = 0

    @property
    def left(self) -> int:
        """Octets that may still be read ahead."""
        return self._bound - self.held


class Ahead:
    """The whole bodies that were read ahead for one session; each is given out once. `close` it at the end."""

    __slots__ = ("_closed", "_held", "_room")

    def __init__(self, room: Room) -> None:
        self._room = room
        self._closed = False
        self._held: dict[str, bytes] = {}

    def take(self, ref: BlobRef) -> bytes | None:
        """The whole of a blob, which is not held any longer; None where it is not here."""
        body = self._held.pop(ref.key, None)
        if body is not None:
            self._room.held -= len(body)
        return body

    def choose(self, following: Sequence[BlobRef], besides: int) -> list[BlobRef]:
        """Which of `following` to read along with `besides` octets: small ones that are not held, as many as fit.

        What is held and does not follow is dropped: the client went another way.
        """
        likely = {ref.key for ref in following}
        for key in [key for key in self._held if key not in likely]:
            self._room.held -= len(self._held.pop(key))
        left = min(AHEAD_OCTETS - besides - sum(map(len, self._held.values())), self._room.left)
        chosen: dict[str, BlobRef] = {}
        for ref in following:
            if ref.octets > SMALL_OCTETS or ref.frames or ref.key in self._held or ref.key in chosen:
                continue
            left -= ref.octets
            if left < 0 or len(chosen) == AHEAD_MESSAGES:
                break
            chosen[ref.key] = ref
        return list(chosen.values())

    def hold(self, ref: BlobRef, body: bytes) -> None:
        """Hold the whole of a blob until it is asked for.

        Not where the session has left while it was read, nor where others that were read meanwhile have the room.
        """
        if not self._closed and ref.key not in self._held and len(body) <= self._room.left:
            self._held[ref.key] = body
            self._room.held += len(body)

    def close(self) -> None:
        """Hold nothing, from now on either."""
        self._closed = True
        self._room.held -= sum(map(len, self._held.values()))
        self._held.clear()
