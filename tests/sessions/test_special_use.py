"""Names that clients make may stand for a special use by configuration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lightmail.config import ImapConfig
from tests.support import transcript
from tests.support.imapworld import ImapWorld

TRANSCRIPT = r"""
@account alice@example.org secret
S1: * OK …
C1: a LOGIN alice@example.org secret
S1: a OK …
C1: b CREATE "Sent Items"
S1: b OK …
C1: c LIST "" S%
S1: * LIST (\HasNoChildren \Sent) "/" Sent
S1: * LIST (\HasNoChildren \Sent) "/" "Sent Items"
S1: c OK …
"""


def test_sent_items_is_a_mailbox_for_sent_mail(tmp_path: Path) -> None:
    config = replace(ImapConfig(), special_use_names={"Sent Items": "\\Sent"})
    world = ImapWorld(tmp_path, config=config).open()
    try:
        transcript.run(world, TRANSCRIPT)
    finally:
        world.close()
