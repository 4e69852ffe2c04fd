"""`lightmail doctor`: what an operator would look at when something is wrong, looked at in order.

Every check answers, whatever the others found; nothing is changed but for a probe that is put into the object store
and removed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from lightmail.app.doctor import certificates, clocks, databases, directories, doors, files, objects, scanners
from lightmail.app.doctor.checks import Check, Verdict, bad
from lightmail.app.privileges import drop
from lightmail.config import Config
from lightmail.errors import MailError, StartupError

__all__ = ["Check", "Verdict", "examine"]

_Look = Callable[[Config], Iterator[Check]]

# As root, like a server that starts: it reads the key and takes the ports before it becomes [system] owner.
_BEFORE: Final[tuple[_Look, ...]] = (files.look, certificates.look, doors.look)
_AFTER: Final[tuple[_Look, ...]] = (directories.look, databases.look, objects.look, scanners.look, clocks.look)


def examine(config: Config) -> Iterator[Check]:
    """All checks, one after another. Blocks. As root, it becomes [system] owner on the way, for good."""
    for look in _BEFORE:
        yield from _guarded(look, config)
    try:
        drop(config.system)
    except StartupError as error:
        yield bad("owner", "[system] owner and group", str(error), "create the user and the group, or correct the keys")
    for look in _AFTER:
        yield from _guarded(look, config)


def _guarded(look: _Look, config: Config) -> Iterator[Check]:
    """What `look` finds; a file that it may not even look for must not keep the others from being looked at."""
    try:
        yield from look(config)
    except (OSError, MailError, StartupError) as error:
        name = look.__module__.rpartition(".")[2]
        yield bad(name, name, str(error), "let the server's user look there, or correct the configuration")
