"""What setup.cfg installs is all that there is: a package missing from its list is missing where it is installed."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_package_is_installed() -> None:
    declared = ConfigParser()
    declared.read(ROOT / "setup.cfg", encoding="utf-8")
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "lightmail").rglob("__init__.py")}
    # Its files are in a folder of their own at the top.
    assert set(declared["options"]["packages"].split()) == found | {"lightmail.sql"}
