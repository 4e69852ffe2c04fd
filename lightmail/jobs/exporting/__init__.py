"""Writing an account's mail into files that others read: a Maildir, files of mbox."""

from lightmail.jobs.exporting.files import ExportError
from lightmail.jobs.exporting.run import Options, Report, Sink, run

__all__ = ["ExportError", "Options", "Report", "Sink", "run"]
