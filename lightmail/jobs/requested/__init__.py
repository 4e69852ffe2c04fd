"""Jobs that administrators ask for, run by a server process beside its services: see `operations.jobs`.

`kinds` says what each kind does, `runner` runs them. They work on threads of their own, so that mail waits for no job.
"""

from lightmail.jobs.requested.kinds import RUNS
from lightmail.jobs.requested.runner import JobRunner
from lightmail.jobs.requested.work import THREADS, Hands

__all__ = ["RUNS", "THREADS", "Hands", "JobRunner"]
