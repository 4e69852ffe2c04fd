"""After a test, `verify --deep` on its stores: nothing may be wrong.

For stores in the test process; a `MailServer` of tests/integration has ``cli("verify", "--deep")``.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from lightmail.jobs.verify import Finding, Hands, Options, Report, verify
from lightmail.objects.backends import ObjectStore
from lightmail.operations.transactions import Transactions
from lightmail.threads import BoundedPool
from tests.support.reactor import run


def findings(
    transactions: Transactions,
    store: ObjectStore,
    *,
    options: Options | None = None,
    clock: Callable[[], float] = time.time,
    timeout_seconds: float = 60,
) -> tuple[Report, list[Finding]]:
    """What a run finds; deep and without repairs unless `options` says otherwise. With threads of its own."""
    chosen = options if options is not None else Options(deep=True, restart=True)
    found: list[Finding] = []

    async def verified() -> Report:
        pool = BoundedPool("verify", 4, 100, reactor=transactions.database.reactor)
        pool.start()
        try:
            return await verify(Hands(transactions, store, pool), chosen, found=found.append, clock=clock)
        finally:
            await pool.stop()

    report = run(verified(), timeout_seconds)
    return report, found


def assert_clean(transactions: Transactions, store: ObjectStore) -> Report:
    """AssertionError, with the findings as lines, unless all holds; what was looked at."""
    report, found = findings(transactions, store)
    assert report.clean, "\n".join(finding.line() for finding in found)
    return report
