"""The hints that the journal counts."""

from __future__ import annotations

from lightmail.jobs.journal.service import CountedHints
from lightmail.model import MailboxId
from tests.support.storekit import Heard


def test_every_hint_is_passed_on_and_every_so_many_call() -> None:
    heard, calls = Heard(), []
    hints = CountedHints(heard)
    hints.changed(MailboxId(1), 1)
    hints.call_at(3, lambda: calls.append(len(heard.hints)))
    for modseq in range(7):
        hints.changed(MailboxId(2), modseq)
    assert calls == [4, 7]
    hints.call_at(0, None)
    hints.changed(MailboxId(1), 9)
    assert len(heard.hints) == 9
    assert len(calls) == 2
