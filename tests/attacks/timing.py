"""Whether the time of a refusal tells a name that exists from one that does not: ``python -m tests.attacks.timing``.

Wrong passwords are given for an account, for an inactive one and for names that nobody has, in random order, to a
server of its own; with ``--app`` they have the form of app passwords, and the accounts have such ones. The times are
compared by the Mann-Whitney U test (two-sided, normal approximation, ties corrected). The effect is the chance that a
refusal for the account takes longer than one for another name: 0.5 tells nothing.
"""

from __future__ import annotations

import argparse
import math
import random
import socket
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence

from lightmail.auth.app_passwords import generate
from tests.support.stack import EMBEDDED, HOST, open_stack

NAMES = {
    "exists": lambda number: "ada@example.org",
    "inactive": lambda number: "bob@example.org",
    "unknown": lambda number: "eve@example.org",
    "unknown, another each time": lambda number: f"u{number}@example.org",
    "unknown domain": lambda number: "ada@example.net",
}


def mann_whitney(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float]:
    """The effect, and how likely one as far from 0.5 is by chance where both come from one distribution."""
    both = sorted([(value, 0) for value in ours] + [(value, 1) for value in theirs])
    ranks, at = 0.0, 0
    ties = 0.0
    for _, count in sorted(Counter(value for value, _ in both).items()):
        shared = at + (count + 1) / 2
        ranks += shared * sum(1 for _, side in both[at : at + count] if side == 0)
        ties += count**3 - count
        at += count
    m, n = len(ours), len(theirs)
    u = ranks - m * (m + 1) / 2
    total = m + n
    deviation = math.sqrt(m * n / 12 * (total + 1 - ties / (total * (total - 1))))
    z = (u - m * n / 2) / deviation
    return u / (m * n), math.erfc(abs(z) / math.sqrt(2))


def measure(port: int, samples: int, guess: Callable[[int], str]) -> dict[str, list[float]]:
    """Seconds of each refusal, by kind of name."""
    took: dict[str, list[float]] = {kind: [] for kind in NAMES}
    order = [kind for kind in NAMES for _ in range(samples + 3)]
    random.shuffle(order)
    for number, kind in enumerate(order):
        line = f"a LOGIN {NAMES[kind](number)} {guess(number)}\r\n".encode()
        with socket.create_connection((HOST, port), timeout=60) as client, client.makefile("rb") as answers:
            answers.readline()
            started = time.perf_counter()
            client.sendall(line)
            answer = answers.readline()
            seconds = time.perf_counter() - started
        assert answer == b"a NO [AUTHENTICATIONFAILED] Authentication failed.\r\n", answer
        if number >= 3 * len(NAMES):  # the first ones warm up
            took[kind].append(seconds)
    return took


def main() -> int:
    """Measure, print, and judge."""
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.timing", description=__doc__)
    parser.add_argument("--samples", type=int, default=150, help="refusals of each kind of name")
    parser.add_argument("--app", action="store_true", help="guess app passwords")
    arguments = parser.parse_args()
    guess = (lambda _: generate()) if arguments.app else (lambda number: f"guess{number}")
    # Trusted, so that nothing but the check is measured: the slowing down of guesses would hide it.
    sections = {"limits": {"trusted_networks": "127.0.0.0/8"}}
    with open_stack(EMBEDDED, sections=sections) as stack:
        for name in ("ada", "bob") if arguments.app else ():
            stack.server.cli("app-password", "add", f"{name}@example.org", "phone")
        stack.server.cli("account", "disable", "bob@example.org")
        stack.server.start()
        took = measure(stack.server.imap, arguments.samples, guess)
        stack.server.stop()
    told = False
    for kind, times in took.items():
        effect, chance = mann_whitney(took["exists"], times) if kind != "exists" else (0.5, 1.0)
        told = told or (chance < 0.001 and abs(effect - 0.5) > 0.1)
        median, spread = statistics.median(times) * 1000, statistics.stdev(times) * 1000
        print(
            f"{kind:28} n={len(times):4} median {median:7.2f} ms ± {spread:5.2f}  effect {effect:.3f}  p={chance:.3f}"
        )
    print("the time tells names apart" if told else "the time does not tell names apart")
    return int(told)


if __name__ == "__main__":
    sys.exit(main())
