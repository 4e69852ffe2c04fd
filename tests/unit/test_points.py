"""The named points are those that the code passes, and a process dies at the one it was told to, that many times on."""

from __future__ import annotations

import ast
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import lightmail
from lightmail.points import POINTS
from tests.integration.servers import environment


def mentioned(tree: ast.Module) -> list[str]:
    """The names given to `points.reached`, whether it is called or handed on as a function to call."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            spoken = [node.func, *node.args]
            if any(isinstance(each, ast.Attribute) and each.attr == "reached" for each in spoken):
                found += [each.value for each in node.args if isinstance(each, ast.Constant)]
    return found


def test_every_point_is_passed_somewhere_and_no_other_is():
    root = Path(lightmail.__file__).parent
    found = Counter(name for path in root.rglob("*.py") for name in mentioned(ast.parse(path.read_text())))
    assert set(found) == set(POINTS)
    assert len(POINTS) == len(set(POINTS))


@pytest.mark.parametrize(("kill", "passed"), [("b:3", 2), ("b", 0), ("c", 3), ("", 3)])
def test_the_process_dies_at_its_point(kill: str, passed: int):
    code = "from lightmail.points import reached as at\nfor _ in range(3):\n at('a'); at('b'); print('.', flush=True)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(LIGHTMAIL_KILL=kill), capture_output=True, check=False, timeout=60
    )
    assert done.stdout.count(b".") == passed
    assert done.returncode == (0 if passed == 3 else -signal.SIGKILL)
