"""Who administers in tests."""

from __future__ import annotations

from typing import Final

from lightmail.operations.actors import CONSOLE, Actor

OPERATOR: Final = Actor("operator", CONSOLE)


def of_domain(domain: int) -> Actor:
    """The administrator of the domain of that id, and of nothing else."""
    return Actor("hostmaster", "192.0.2.7", domain)
