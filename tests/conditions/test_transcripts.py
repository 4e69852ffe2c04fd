"""The transcripts of tests/sessions hold word for word under every condition."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lightmail.config import ImapConfig
from tests.sessions.test_transcripts import TRANSCRIPTS
from tests.support import transcript
from tests.support.conditions import Condition, open_site

# What depends most on the index, on what was rendered, and on who changed what. The others take their time.
QUICK = {"expunge", "fetch", "search"}
# What a process counts of an address it counts for itself; what another one changed is told when a command ends, while
# sessions of one process share their index.
OF_ONE_PROCESS = {"failed_logins", "expunge"}


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=path.stem, marks=() if path.stem in QUICK else pytest.mark.heavy) for path in TRANSCRIPTS],
)
def test_transcript(condition: Condition, path: Path, tmp_path: Path) -> None:
    if condition.processes > 1 and path.stem in OF_ONE_PROCESS:
        pytest.skip("it is about what sessions of one process share")
    text = path.read_text(encoding="utf-8")
    config = replace(ImapConfig(), **transcript.switches(text))
    with open_site(condition, tmp_path, config=config, limits=transcript.limits(text)) as site:
        transcript.run(site, text)
