"""Under which traces the messages that came last to a mailbox were brought: for the log alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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

    def add(self, brought: Sequence[tuple[int, bytes]]) -> None:
        """Take in (UID, trace), by ascending UID. What was taken in before does no harm."""
        words = self._words.split()
        more = [b"%d:%b" % each for each in brought]
        if words and brought and brought[0][0] <= _uid(words[-1]):
            words = sorted({*words, *more}, key=_uid)
        else:
            words += more
        self._words = b" ".join(words[-traces.MOST :])

    def of(self, uids: Iterable[int]) -> str:
        """The traces of some messages, joined, in the order of `uids`; without those that are not known any more."""
        text = b" %b " % self._words
        found = []
        for uid in uids:
            mark = b" %d:" % uid
            start = text.find(mark) + len(mark)
            if start >= len(mark):
                found.append(text[start : text.index(b" ", start)].decode("ascii"))
        return traces.joined(found)


def _uid(word: bytes) -> int:
    return int(word.partition(b":")[0])
