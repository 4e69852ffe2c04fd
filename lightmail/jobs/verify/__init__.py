"""Verifying: whether rows, objects and what is derived from them agree, while the server runs; and repairing it.

`verify` is the whole of it. Each kind of finding is a row of `table.CHECKS`; docs/verify.md says what to do about it.
"""

from lightmail.jobs.verify.findings import Finding, Report, Severity
from lightmail.jobs.verify.run import Options, verify
from lightmail.jobs.verify.steps import Hands
from lightmail.jobs.verify.table import CHECKS, Check

__all__ = ["CHECKS", "Check", "Finding", "Hands", "Options", "Report", "Severity", "verify"]
