"""What a Dockerfile and a compose file say, read without an engine."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_VARIABLE = re.compile(r"\$\$|\$\{(?P<name>\w+)(?::\?(?P<said>[^}]*))?\}")


@dataclass(frozen=True)
class Instruction:
    """A line of a Dockerfile, its continuations joined; `stage` counts its FROMs from 0."""

    name: str
    text: str
    stage: int

    @property
    def words(self) -> list[str]:
        """What it says, as words: a JSON list, or as a shell would part it."""
        return list(json.loads(self.text)) if self.text.startswith("[") else shlex.split(self.text)


def dockerfile(path: Path) -> list[Instruction]:
    """The instructions of a Dockerfile."""
    kept = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    found: list[Instruction] = []
    stage = -1
    for line in re.sub(r"\\\n\s*", " ", "\n".join(kept)).splitlines():
        if line.strip():
            name, _, text = line.strip().partition(" ")
            stage += name == "FROM"
            found.append(Instruction(name, text.strip(), stage))
    return found


def variables(path: Path) -> set[str]:
    """The variables that a compose file takes from its environment."""
    return {found["name"] for found in _VARIABLE.finditer(path.read_text()) if found["name"]}


def compose(path: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    """A compose file with the variables put in. Raises KeyError for one that is not given."""

    def put(value: Any) -> Any:
        if isinstance(value, str):
            return _VARIABLE.sub(lambda found: environ[found["name"]] if found["name"] else "$", value)
        if isinstance(value, list):
            return [put(each) for each in value]
        if isinstance(value, dict):
            return {key: put(each) for key, each in value.items()}
        return value

    read: dict[str, Any] = put(yaml.safe_load(path.read_text()))
    return read
