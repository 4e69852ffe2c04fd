"""Jobs that look after the store: the collector's passes, and verifying."""

from __future__ import annotations

from collections import Counter
from typing import Any

from lightmail.errors import Cannot
from lightmail.jobs.garbage.collector import Collector, steps
from lightmail.jobs.requested.work import NAMED, THREADS, Hands, Work
from lightmail.jobs.verify import Finding, Options
from lightmail.jobs.verify import Hands as VerifyHands
from lightmail.jobs.verify import verify as run_verify
from lightmail.model import AccountId


async def collect(hands: Hands, work: Work) -> dict[str, Any]:
    """Collect garbage until nothing is left to be done now."""
    settings = hands.config.garbage
    if settings is None:
        raise Cannot("This server has no section [garbage].")
    made = steps(hands.transactions, hands.objects, hands.pool)
    collector = Collector(settings, hands.transactions.database, made, hands.may_collect)
    counts: Counter[str] = Counter()
    octets, passes = 0, 0
    while True:
        done = await collector.once(everything=True)
        counts.update(done.counts)
        octets, passes = octets + done.octets, passes + 1
        work.told.part(f"pass {passes}", 0.0 if done.more else 1.0)
        if done.frozen:
            raise Cannot("Collection is frozen; see lightmail gc status.")
        if not done.more:
            return {"passes": passes, "counts": {kind: n for kind, n in counts.items() if n}, "octets_freed": octets}


async def verify(hands: Hands, work: Work) -> dict[str, Any]:
    """Verify that rows and objects agree, and repair them if asked to."""
    account = work.arguments.get("account_id")
    garbage = hands.config.garbage
    options = Options(
        deep=bool(work.arguments.get("deep")),
        mending=bool(work.arguments.get("repair")),
        account=None if account is None else AccountId(account),
        rate=int(work.arguments.get("rate", 0)),
        readers=THREADS,
        grace_hours=garbage.grace_hours if garbage is not None else Options().grace_hours,
    )
    findings: list[dict[str, Any]] = []

    def found(finding: Finding) -> None:
        if len(findings) < NAMED:
            findings.append(finding.document())

    verifying = VerifyHands(hands.transactions, hands.objects, hands.pool)
    report = await run_verify(verifying, options, found=found, progress=work.told.part)
    return {**report.document(), "findings": findings}
