"""`operations` is the only caller of store writes: nobody else begins a transaction or has SQL that changes rows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "lightmail"
WRITERS = {"run", "attempt"}
# A recovery has a SQLite file of its own, for what it knows meanwhile.
SCRATCH = PACKAGE / "jobs" / "recover"
CHANGES = re.compile(r"\s*(INSERT INTO|UPDATE \w+ SET|DELETE FROM|REPLACE INTO|CREATE TABLE|ALTER TABLE)\b")


def modules(*without: str) -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.relative_to(PACKAGE).parts[0] not in without:
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def test_only_operations_begin_transactions():
    for path, module in modules("store", "operations"):
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WRITERS:
                owner = ast.unparse(node.func.value)
                assert not owner.endswith(("database", "Database")), f"{path}:{node.lineno}: {ast.unparse(node.func)}"


def test_only_the_store_has_sql_that_changes_rows():
    for path, module in modules("store"):
        if SCRATCH in path.parents:
            continue
        for node in ast.walk(module):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not CHANGES.match(node.value), f"{path}:{node.lineno}: {node.value}"
