"""Under which traces the messages that came last to a mailbox were brought: for the log alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from lightmail import traces


class Arrivals:
    """The traces of the last `traces.MOST` messages that came while the mailbox was open here, whoever brought them.

    There is one for each open mailbox, so they are kept as text: some 20 octets a message.
    """

    __slots__ = ("_words",)

    def __init__(self) -> None:
        self._words = b""

    @property
    def size_octets(self) -> int:
        """About the memory it takes."""
        return len(self._words)

    def add(self, brought: Iterable[tuple[int, bytes]]) -> None:
        """Take in (UID, trace), by ascending UID. What was taken in before does no harm."""
        words = dict.fromkeys(self._words.split())
        words.update((b"%d:%b" % each, None) for each in brought)
        self._words = b" ".join(sorted(words, key=_uid)[-traces.MOST :])

    def of(self, uids: Collection[int]) -> str:
        """The traces of some messages, joined; without those that are not known, or not any more."""
        found = (word.partition(b":")[2].decode("ascii") for word in self._words.split() if _uid(word) in uids)
        return traces.joined(found)


def _uid(word: bytes) -> int:
    return int(word.partition(b":")[0])
