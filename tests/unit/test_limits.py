"""Every bound of the configuration is read by something, and `docs/limits.md` says of each what it is."""

from __future__ import annotations

import re
from pathlib import Path

from lightmail.config.loader import keys_of

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "lightmail"
PAGE = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
# Rows whose default is said in words.
IN_WORDS = {"password_threads"}


def rows() -> dict[str, str]:
    """The default that the page states, by the key in its row."""
    found: dict[str, str] = {}
    for _, default, keys, _ in re.findall(r"^\| (.+?) \| (.+?) \| (.*?) \|(.*)\|$", PAGE, re.MULTILINE):
        for section, key in re.findall(r"`(?:\[(\w+)\] )?(\w+)`", keys):
            found[f"{section or 'limits'}.{key}"] = default
    return found


def number(text: str) -> int:
    value, _, unit = text.partition(" ")
    return int(value) * UNITS.get(unit, 1)


def test_every_limit_is_on_the_page_with_its_default():
    stated = rows()
    for key, field, _ in keys_of("limits"):
        if key in IN_WORDS or key == "trusted_networks":
            assert f"`{key}`" in PAGE
            continue
        assert number(stated.pop(f"limits.{key}")) == field.default, key
    for name, default in stated.items():
        section, _, key = name.partition(".")
        if section != "limits":
            (field,) = (field for other, field, _ in keys_of(section) if other == key)
            assert number(default) == field.default, name
        else:
            assert key in IN_WORDS, f"[limits] {key} is on the page but is no key"


def test_every_limit_is_read():
    code = "".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py") if "config" not in path.parts)
    for _, field, _ in keys_of("limits"):
        assert re.search(rf"limits\.{field.name}\b", code), f"nothing reads [limits] {field.name}"
