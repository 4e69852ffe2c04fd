"""Records of the log, read back: the latest ones, which a process keeps in memory, and those of its file.

"Where is my mail?" is asked by a trace, by an address or by a Message-ID. The answer is every record that has the word
in it, and every other one of the mail transactions that these name: the whole way of a message, from LMTP to the
clients that were told of it. A file is read backwards, in blocks of whole lines, so that what is new is found first.
"""

from __future__ import annotations

import json
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Final, TypeAlias

from lightmail.logs import one_line

# What is kept in memory, and the longest record of it: a traceback may be longer, and is cut off.
_RECENT_OCTETS: Final = 4 << 20
_RECORD_OCTETS: Final = 64 << 10
# What is read of a file at once.
BLOCK_OCTETS: Final = 256 << 10
# The longest line that is looked at; no record of ours is longer.
_LINE_OCTETS: Final = 1 << 20
_FEW: Final = 16
# Mail transactions, and places of messages, that are followed from the records that a search finds first.
_FOLLOWED: Final = 1000

_TEXT: Final = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (?P<level>[a-z]+) +(?P<source>\S+)"
    r"(?: \[(?P<trace>[^\]]*)\])? (?P<message>.*)"
)
_TIME: Final = re.compile(r'(?:\{"time": ")?(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)')
# The trace of a mail transaction. Sessions have no number behind the point, and are not followed.
_TRANSACTION: Final = re.compile(r"(?<![0-9a-f])[0-9a-f]{12}\.\d{1,9}")

# Where a message was put, as `lmtp.handover` says it, and which ones a client was told of, as `imap.idle` does.
_PUT: Final = re.compile(r"UID (\d+) in mailbox (\d+) of ")
_TOLD: Final = re.compile(r"told \S+ of (\d+) new messages in mailbox (\d+), up to UID (\d+)")

# Gives blocks of lines, newest block first, from the newest again each time it is called.
Blocks: TypeAlias = Callable[[], Iterable[Sequence[str]]]


@dataclass(frozen=True, slots=True)
class Record:
    """One record, as text or JSON says it. ``time`` is RFC 3339 in UTC; ``trace`` may be several, or empty."""

    time: str
    level: str
    source: str
    trace: str
    message: str


class Recent:
    """The records written last, `octets` of them, oldest first."""

    def __init__(self, octets: int = _RECENT_OCTETS) -> None:
        self._bound = octets
        self._octets = 0
        self._lines: deque[str] = deque()
        self._lock = Lock()

    def add(self, line: str) -> None:
        """Keep a record; the oldest go. May be called in any thread."""
        if len(line) > _RECORD_OCTETS:
            line = line[:_RECORD_OCTETS]
        with self._lock:
            self._lines.append(line)
            self._octets += len(line)
            while self._octets > self._bound:
                self._octets -= len(self._lines.popleft())

    def blocks(self) -> Iterator[list[str]]:
        """The records as `Search` takes them: newest block first, of lines in their order."""
        with self._lock:
            lines = self._lines.copy()
        while lines:
            block: list[str] = []
            octets = 0
            while lines and octets < BLOCK_OCTETS:
                block.append(lines.pop())
                octets += len(block[-1])
            yield block[::-1]


# Those of this process, whichever part of it asks.
RECENT: Final = Recent()


def read(line: str) -> Record | None:
    """A line of the log; None for one that is no record's first, such as those of a traceback."""
    if line.startswith("{"):
        return _read_json(line)
    match = _TEXT.match(line)
    if match is None:
        return None
    return Record(match["time"], match["level"], match["source"], match["trace"] or "", match["message"])


def _read_json(line: str) -> Record | None:
    try:
        fields = json.loads(line)
        return Record(
            str(fields["time"]),
            str(fields["level"]),
            str(fields["source"]),
            one_line(str(fields.get("trace", ""))),
            one_line(str(fields["message"])),
        )
    except (ValueError, KeyError, RecursionError):
        return None  # cut off, or no line of ours


def file_blocks(paths: Sequence[str], octets: int, at_once: int = BLOCK_OCTETS) -> Iterator[list[str]]:
    """Blocks of whole lines of files, newest first, up to `octets` in all, `at_once` a block.

    The `paths` are newest first, too: a log and what logrotate has made of it; one that is not there is passed over.
    """
    left = octets
    for path in paths:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            for block, size in _blocks_of(descriptor, at_once):
                yield block
                left -= size
                if left <= 0:
                    return
        finally:
            os.close(descriptor)


def _blocks_of(descriptor: int, at_once: int) -> Iterator[tuple[list[str], int]]:
    """Blocks of a file from its end, each with its octets."""
    position = os.fstat(descriptor).st_size
    rest = b""  # the end of a line whose beginning is further ahead
    while position > 0:
        start = max(0, position - at_once)
        data = os.pread(descriptor, position - start, start) + rest
        size, position = position - start, start
        rest, _, whole = data.partition(b"\n") if start else (b"", b"", data)
        if len(rest) > _LINE_OCTETS:
            rest = b""
        yield whole.decode("utf-8", "replace").split("\n"), size


def stream_blocks(lines: Iterable[str]) -> Iterator[list[str]]:
    """Blocks of what can only be read from its beginning, such as a pipe: what fits in memory, newest block first."""
    kept = Recent(64 << 20)
    for line in lines:
        kept.add(line)
    return kept.blocks()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for: records that have all that is given here, from `since` to `until`, both included.

    Words are compared whatever their case. The moments are RFC 3339 as records have it, "" for none.
    """

    trace: str = ""
    address: str = ""
    message_id: str = ""
    since: str = ""
    until: str = ""

    @property
    def words(self) -> list[_Word]:
        """What a record must have."""
        given = ((self.trace, "0-9a-f", "0-9a-f"), (self.address, _IN_ID, r"\w-"), (self.message_id, _IN_ID, r"\w-"))
        return [_Word(text.strip("<>"), before, after) for text, before, after in given if text]


# What belongs to the same address or Message-ID, before another letter of it.
_IN_ID: Final = r"\w.+%-"


class _Word:
    """A text as records have it, in text or in JSON, whatever its case, and not inside of something longer."""

    def __init__(self, text: str, before: str, after: str) -> None:
        cases = {text, text.lower(), text.upper()}  # what JSON escapes has a case that nobody can fold
        self._forms = sorted({form.lower() for case in cases for form in (case, json.dumps(case)[1:-1])})
        some = "|".join(map(re.escape, self._forms))
        self._pattern = re.compile(f"(?<![{before}])(?:{some})(?![{after}])")

    def may_be_in(self, folded: str) -> bool:
        """Whether it is in lower-case text, perhaps inside of something longer: much faster than `is_in`."""
        return any(form in folded for form in self._forms)

    def is_in(self, folded: str) -> bool:
        """Whether it is in lower-case text."""
        return self.may_be_in(folded) and self._pattern.search(folded) is not None


class _Way:
    """What leads from the records that have a word to others.

    It is the mail transactions that they belong to, if `transactions`, and the places of the messages: where a client
    is told of very many at once, or a mailbox had to be read anew, the line has not the traces of all.
    """

    def __init__(self, transactions: bool) -> None:
        self._follows = transactions
        self._transactions: set[str] = set()
        self._places: set[tuple[int, int]] = set()

    def __bool__(self) -> bool:
        return bool(self._transactions or self._places)

    def learn(self, record: Record) -> None:
        """Follow what a record names."""
        if self._follows and len(self._transactions) < _FOLLOWED:
            self._transactions.update(_TRANSACTION.findall(record.trace))
        put = _PUT.search(record.message)
        if put is not None and len(self._places) < _FOLLOWED:
            self._places.add((int(put[2]), int(put[1])))

    def leads_to(self, text: str) -> bool:
        """Whether a record, or one of several, is followed."""
        return self._names_transaction(text) or self._tells_of_place(text)

    def _names_transaction(self, text: str) -> bool:
        # One by one is faster where they are few; it would take one for another that it is the beginning of.
        if len(self._transactions) <= _FEW and not any(one in text for one in self._transactions):
            return False
        return not self._transactions.isdisjoint(_TRANSACTION.findall(text))

    def _tells_of_place(self, text: str) -> bool:
        if not self._places:
            return False
        for new, mailbox, last in (map(int, told) for told in _TOLD.findall(text)):
            if any((mailbox, last - back) in self._places for back in range(min(new, _FOLLOWED))):
                return True
        return False


class Search:
    """A search in blocks, newest first. Call `step` until it says that there is nothing more to do; then see `found`.

    The blocks are gone through twice: once to find the records that have the words, and once more to follow the way of
    the messages that these are about. At most `limit` records are found, the newest; `complete` says whether there were
    no more of them.
    """

    def __init__(self, wanted: Wanted, blocks: Blocks, limit: int) -> None:
        self._wanted = wanted
        self._blocks = blocks
        self._limit = limit
        self._passage = iter(blocks())
        self._words = wanted.words
        self._gathering = bool(self._words)
        self._way = _Way(bool(wanted.address or wanted.message_id))
        self._found: list[str] = []
        self.complete = True

    def step(self) -> bool:
        """Go through one block; whether there is more to do. It blocks for some milliseconds, and for the disk."""
        block = next(self._passage, None)
        if block is not None and self._look(block):
            return True
        if not (self._gathering and self._way):
            return False
        self._gathering = False
        self._found.clear()
        self.complete = True
        self._passage = iter(self._blocks())
        return True

    @property
    def found(self) -> list[str]:
        """The lines found, newest first."""
        return self._found

    def _look(self, block: Sequence[str]) -> bool:
        """Take what is wanted of a block; whether older ones may have more of it."""
        if not self._may_have_some(block):
            first = next((moment for line in block if (moment := _TIME.match(line))), None)
            return first is None or first[1] >= self._wanted.since
        for line in reversed(block):
            moment = _TIME.match(line)
            if moment is None or (self._wanted.until and moment[1] > self._wanted.until):
                continue
            if moment[1] < self._wanted.since:
                return False
            if self._is_wanted(line) and not self._take(line):
                return False
        return True

    def _may_have_some(self, block: Sequence[str]) -> bool:
        if not self._words:
            return True
        text = "\n".join(block)
        if not self._gathering and self._way.leads_to(text):
            return True
        folded = text.lower()
        return all(word.may_be_in(folded) for word in self._words)

    def _is_wanted(self, line: str) -> bool:
        if not self._gathering and self._way.leads_to(line):
            return True
        folded = line.lower()
        return all(word.is_in(folded) for word in self._words)

    def _take(self, line: str) -> bool:
        """Whether there was room for one more."""
        if len(self._found) >= self._limit:
            self.complete = False
            return False
        self._found.append(line.rstrip("\n"))
        if self._gathering and (record := read(line)) is not None:
            self._way.learn(record)
        return True
