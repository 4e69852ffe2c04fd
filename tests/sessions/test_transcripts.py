"""Every transcript in this directory, against a server of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lightmail.config import ImapConfig, LimitsConfig
from tests.support import transcript
from tests.support.imapworld import ImapWorld

TRANSCRIPTS = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript(path: Path, tmp_path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    limits = replace(LimitsConfig(), **transcript.limits(text))
    config = replace(ImapConfig(), **transcript.switches(text))
    world = ImapWorld(tmp_path, config=config, limits=limits).open()
    try:
        transcript.run_file(world, path)
    finally:
        world.close()
