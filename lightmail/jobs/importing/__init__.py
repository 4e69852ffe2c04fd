"""Bringing messages in from elsewhere: a Maildir, files of mbox, an account on another server."""

from lightmail.jobs.importing.carrying import Hands
from lightmail.jobs.importing.report import Report
from lightmail.jobs.importing.run import Options, run
from lightmail.jobs.importing.source import Source, SourceError

__all__ = ["Hands", "Options", "Report", "Source", "SourceError", "run"]
