"""A page of documentation, done on a machine of one's own as an operator would do it: typed line by line as root."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.machine import Answer, Machine
from tests.support.pages import read

PASSWORD = "correct-horse-battery"
# What the programs on the pages ask a person for.
_ASKED = (
    Answer(r"Password: ", PASSWORD),
    Answer(r"Repeat for confirmation: ", PASSWORD),
    Answer(r"Enter host password for user '[^']+':", PASSWORD),
)


class Walk:
    """What a page's commands printed, by the line of the page where each stands."""

    def __init__(self, output: str, name: str) -> None:
        self.output = output
        pieces = re.split(rf"^\++ {re.escape(name)}:(\d+): ", output, flags=re.MULTILINE)
        self._printed: dict[int, str] = {}
        for number, text in zip(pieces[1::2], pieces[2::2], strict=True):
            self._printed[int(number)] = self._printed.get(int(number), "") + text

    def printed(self, command: str) -> str:
        """What the commands that contain the text `command` printed, and the trace of the commands themselves."""
        found = [text for text in self._printed.values() if command in text]
        assert found, f"nothing was run that contains {command!r}"
        return "".join(found)


def walk(
    machine: Machine,
    path: Path,
    *,
    directory: str = "/root",
    instead: Mapping[str, str] | None = None,
    answers: Sequence[Answer] = (),
    seconds: float = 600,
) -> Walk:
    """Do what the page says in `directory`. AssertionError names the line that failed.

    `instead` are lines that others, or empty ones, take the place of.
    """
    page = read(path)
    script = machine.files / "run" / f"{path.stem}.sh"
    script.write_text(page.script(instead))
    terminal = machine.at_a_terminal(
        "env", "-C", directory, "bash", f"/run/{path.stem}.sh", answers=(*answers, *_ASKED)
    )
    try:
        status = terminal.wait(seconds)
    finally:
        terminal.kill()
    assert status == 0, f"{path.name} failed with status {status}:\n{terminal.output[-4000:]}"
    return Walk(terminal.output, path.name)
