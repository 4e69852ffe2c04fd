"""``python -m tests.soak``: exit status 0 when every promise held and nothing grew."""

from __future__ import annotations

import sys

import click

from tests.soak.run import soak
from tests.support.stack import EMBEDDED, STACKS


@click.command()
@click.option("--minutes", default=10.0, show_default=True, help="How long the load runs.")
@click.option("--stack", type=click.Choice(STACKS), default=EMBEDDED, show_default=True, help="What it runs against.")
@click.option("--faults", is_flag=True, help="Let faults befall the stores and the process, at random.")
@click.option("--every", default=5.0, show_default=True, help="Seconds between samples.")
@click.option("--seed", default=1, show_default=True, help="What chance begins with.")
def main(minutes: float, stack: str, faults: bool, every: float, seed: int) -> None:
    """Put a server under a mixed load, sample what it uses, and find everything acknowledged in the end."""
    verdict = soak(stack, minutes * 60, faults=faults, every_seconds=every, seed=seed)
    print()
    for trend in verdict.trends:
        print(f"{'GROWS  ' if trend.grows else 'steady '} {trend}")
    if not verdict.trends:
        print("too short a run to tell whether anything grows")
    for counted in (verdict.tally, verdict.troubles):
        print("; ".join(f"{what} {count}" for what, count in sorted(counted.items())))
    print(f"{verdict.acknowledged} messages were acknowledged")
    for problem in verdict.problems[:50]:
        print(f"WRONG   {problem}")
    print("good" if verdict.good else f"bad: {len(verdict.problems)} problems")
    sys.exit(0 if verdict.good else 1)


main()
