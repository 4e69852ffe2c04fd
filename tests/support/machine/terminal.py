"""A command at a terminal of its own, with somebody who types what it asks for."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """What is typed when the end of what was printed matches the pattern `asked`."""

    asked: str
    typed: str


class Terminal:
    """A running command. It has ended when `wait` has returned, or `interrupt`."""

    def __init__(self, command: Sequence[str], answers: Sequence[Answer] = ()) -> None:
        self.output = ""
        self._answers = [(re.compile(answer.asked + r"\Z"), answer.typed) for answer in answers]
        self._heard = 0
        self._ours, theirs = pty.openpty()

        def take_terminal() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        try:
            self.process = subprocess.Popen(
                command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, preexec_fn=take_terminal
            )
        finally:
            os.close(theirs)

    def wait(self, seconds: float) -> int:
        """Wait for its end, answering; its exit status. Raises AssertionError with the end of its output when late."""
        deadline = time.monotonic() + seconds
        while self._read(deadline):
            assert time.monotonic() < deadline, f"still running after {seconds} s: {self.output[-3000:]}"
        return self._ended()

    def wait_for(self, pattern: str, seconds: float) -> re.Match[str]:
        """Wait until it has printed what matches."""
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.output, re.MULTILINE)):
            open_ = self._read(deadline)
            assert open_, f"no {pattern!r}: {self.output[-3000:]}"
            assert time.monotonic() < deadline, f"no {pattern!r}: {self.output[-3000:]}"
        return found

    def interrupt(self, seconds: float) -> int:
        """Type Ctrl-C and wait for its end; its exit status."""
        os.write(self._ours, b"\x03")
        return self.wait(seconds)

    def kill(self) -> None:
        """End it now, if it has not ended."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self._ended()

    def _ended(self) -> int:
        status = self.process.wait()
        os.close(self._ours)
        return status

    def _read(self, deadline: float) -> bool:
        """Take in what comes next; False at the end."""
        readable, _, _ = select.select([self._ours], [], [], max(0, min(0.5, deadline - time.monotonic())))
        if not readable:
            return self.process.poll() is None
        try:
            octets = os.read(self._ours, 65536)
        except OSError:  # EIO: the last process that had the terminal is gone
            return False
        self.output += octets.decode(errors="replace").replace("\r\n", "\n")
        self._answer()
        return bool(octets)

    def _answer(self) -> None:
        unheard = self.output[self._heard :]
        for asked, typed in self._answers:
            if asked.search(unheard):
                self._heard = len(self.output)
                os.write(self._ours, typed.encode() + b"\n")
                return
