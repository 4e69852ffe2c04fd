"""The kinds of jobs, each with what runs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lightmail.jobs.requested import moving, restoring, upkeep
from lightmail.jobs.requested.work import Run
from lightmail.operations import jobs

RUNS: Final[Mapping[str, Run]] = {
    jobs.GARBAGE: upkeep.collect,
    jobs.VERIFY: upkeep.verify,
    jobs.UNDELETE: restoring.undelete,
    jobs.IMPORT_MAILDIR: moving.import_maildir,
    jobs.IMPORT_MBOX: moving.import_mbox,
    jobs.IMPORT_IMAP: moving.import_imap,
    jobs.EXPORT_MAILDIR: moving.export_maildir,
    jobs.EXPORT_MBOX: moving.export_mbox,
}
