"""docs/running.md says of each key whether a reload takes it on, and nothing else than the code."""

from __future__ import annotations

import re
from pathlib import Path

from lightmail.config.loader import SECTIONS, keys_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "running.md"


def test_the_page_has_the_keys_that_a_running_server_takes_on() -> None:
    rows = re.findall(r"^\| `\[(\w+)\]` \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    written = {section: re.findall(r"`(\w+)`", keys) for section, keys in rows}
    live = {section: [key for key, _, setting in keys_of(section) if setting.live] for section in SECTIONS}
    assert written == {section: keys for section, keys in live.items() if keys}
