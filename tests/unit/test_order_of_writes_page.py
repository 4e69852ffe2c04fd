"""What docs/order-of-writes.md names is there: every file, every test."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "order-of-writes.md").read_text(encoding="utf-8")


def test_every_test_that_it_names_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)
    assert len(named) > 50
    for path, test in named:
        text = (ROOT / path).read_text(encoding="utf-8")
        assert not test or f"def {test}(" in text, f"{path} has no {test}"


def test_every_file_that_it_names_is_there() -> None:
    for path in re.findall(r"`((?:\w+/)+(?:\w+\.py)?|errors\.py)`", PAGE):
        assert path.startswith("tests/") or (ROOT / "lightmail" / path).exists(), path


def test_every_rule_is_attacked_but_the_one_that_is_not_built() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith(("| it says", "| ---"))]
    assert [row for row in rows if "`tests/" not in row] == [row for row in rows if "not built" in row]
