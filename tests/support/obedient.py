"""An IMAP client that believes every untagged response, and nothing else."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tests.support.transcript import Connection

_EXPUNGE = re.compile(rb"\* (\d+) EXPUNGE")
_EXISTS = re.compile(rb"\* (\d+) EXISTS")
_FETCH = re.compile(rb"\* (\d+) FETCH \((.*)\)")
_FLAGS = re.compile(rb"FLAGS \(([^)]*)\)")
_UID = re.compile(rb"UID (\d+)")
_LITERAL = re.compile(rb"\{(\d+)\}$")


class Refused(AssertionError):
    """A command that should succeed did not."""

    def __init__(self, tagged: bytes) -> None:
        super().__init__(tagged)
        self.tagged = tagged


@dataclass
class Answer:
    """What a command brought: its tagged response (without the tag), the untagged ones and their literals."""

    tagged: bytes
    untagged: list[bytes] = field(default_factory=list)
    literals: list[bytes] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether it was done."""
        return self.tagged.startswith(b"OK")

    def says(self, words: bytes) -> bool:
        """Whether these words came, such as a response code."""
        return any(words in line for line in [self.tagged, *self.untagged])


class ObedientClient:
    """One session on one mailbox; ``messages`` has for each sequence number the UID and the flags, where known.

    Methods raise OSError or EOFError where the server goes away.
    """

    def __init__(self, port: int, address: str, password: str, mailbox: bytes) -> None:
        self.connection = Connection(port)
        self.mailbox = mailbox
        self.messages: list[tuple[int | None, frozenset[bytes] | None]] = []
        try:
            self.connection.line()
            self.must(b"LOGIN %b %b" % (address.encode(), password.encode()))
            self.must(b"SELECT " + mailbox)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Hang up."""
        self.connection.close()

    def must(self, text: bytes, *, numbers_hold: bool = False) -> Answer:
        """Run a command that succeeds, unless the message it names is gone. Raises Refused."""
        answer = self.command(text, numbers_hold=numbers_hold)
        if not answer.ok and b"[EXPUNGEISSUED]" not in answer.tagged:
            raise Refused(answer.tagged)
        return answer

    def command(self, text: bytes, *, numbers_hold: bool = False) -> Answer:
        """Run a command and obey what is said; with `numbers_hold` no message may be told gone meanwhile."""
        self.connection.send(b"t " + text + b"\r\n")
        answer = Answer(b"")
        while True:
            line = self._response(answer.literals)
            if line.startswith(b"t "):
                answer.tagged = line[2:]
                return answer
            answer.untagged.append(line)
            assert not line.startswith(b"* BAD"), line
            assert not (numbers_hold and _EXPUNGE.fullmatch(line)), line
            self.obey(line)

    def _response(self, literals: list[bytes]) -> bytes:
        """One response; its literals are added to `literals` and left out of it."""
        whole = line = self.connection.line()
        while match := _LITERAL.search(line):
            literals.append(self.connection.octets(int(match[1])))
            line = self.connection.line()
            whole += line
        return whole

    def obey(self, line: bytes) -> None:
        """Believe an untagged response."""
        if match := _EXPUNGE.fullmatch(line):
            del self.messages[int(match[1]) - 1]
        elif match := _EXISTS.fullmatch(line):
            count = int(match[1])
            assert count >= len(self.messages), "EXISTS may not shrink a mailbox"
            self.messages += [(None, None)] * (count - len(self.messages))
        elif match := _FETCH.fullmatch(line):
            position = int(match[1]) - 1
            uid, flags = self.messages[position]
            if told := _UID.search(match[2]):
                assert uid in (None, int(told[1])), "a sequence number means one message"
                uid = int(told[1])
            if told := _FLAGS.search(match[2]):
                flags = frozenset(told[1].split()) - {b"\\Recent"}
            self.messages[position] = (uid, flags)

    def agrees_with(self, truth: list[tuple[int | None, frozenset[bytes] | None]]) -> bool:
        """Whether what it believes is `truth`, as far as it was told."""
        return len(self.messages) == len(truth) and all(
            uid in (None, true_uid) and flags in (None, true_flags)
            for (uid, flags), (true_uid, true_flags) in zip(self.messages, truth, strict=True)
        )
