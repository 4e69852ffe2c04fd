"""Commands of a page of documentation, as scripts that can be run, line for line where they stand in the page.

What is run stands in fenced blocks: ``sh`` is what one types, ``console`` shows prompts (``$ ``) with what they print.
Blocks in other languages are data. A block without a language, or one that is only indented, is refused, so that no
command can stand in a page that is not seen here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"(?P<indent> *)```(?P<language>\S*)\s*$")
_COMMANDS = ("sh", "console")
_DATA = ("text", "ini", "json", "yaml", "eml")
_PROMPT = "$ "


class Unmarked(Exception):
    """A block of which the page does not say what it is."""


@dataclass(frozen=True)
class Page:
    """A page's lines of commands by their numbers in it, the first line being 1."""

    path: Path
    lines: dict[int, str]

    def script(self, instead: Mapping[str, str] | None = None) -> str:
        """The page as a bash script with the same line numbers, which stops where a command fails and says where.

        `instead` are lines that are replaced by others, or by nothing; each must be there.
        """
        instead = instead or {}
        absent = set(instead) - set(self.lines.values())
        assert not absent, f"{self.path.name} has no {sorted(absent)}"
        # Line 1 is a heading in every page.
        traced = f"PS4='+ {self.path.name}:$LINENO: '; set -eEuxo pipefail"
        last = max(self.lines, default=1)
        lines = [self.lines.get(number, "") for number in range(2, last + 1)]
        return "\n".join([traced, *(instead.get(line, line) for line in lines), ""])


def read(path: Path) -> Page:
    """The commands of a page. Raises Unmarked."""
    lines: dict[int, str] = {}
    language: str | None = None
    previous = ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if fence:
            language = _opened(path, number, fence["language"]) if language is None else None
        elif language in _COMMANDS:
            lines.update((number, command) for command in _typed(language, line))
        elif language is None and line.startswith("    ") and not previous:
            raise Unmarked(f"{path.name}:{number}: an indented block does not say what it is: {line.strip()}")
        previous = line.strip()
    return Page(path, lines)


def _opened(path: Path, number: int, language: str) -> str:
    if language not in (*_COMMANDS, *_DATA):
        raise Unmarked(f"{path.name}:{number}: a block of {language or 'nothing'}: say {', '.join(_COMMANDS + _DATA)}")
    return language


def _typed(language: str | None, line: str) -> Iterator[str]:
    if language == "sh":
        yield line
    elif line.startswith(_PROMPT):
        yield line.removeprefix(_PROMPT)


def commands_of(page: Page, program: str) -> dict[int, str]:
    """The lines in which a program is called by its name, by their numbers; continued lines are joined."""
    found: dict[int, str] = {}
    joined, began = "", 0
    for number, line in page.lines.items():
        began = began if joined else number
        joined += line.removesuffix("\\")
        if not line.endswith("\\"):
            if re.search(rf"(^|[\s;&|(/]){re.escape(program)}\s", joined):
                found[began] = joined
            joined = ""
    return found
