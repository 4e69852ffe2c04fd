"""What the faces to Twisted's IMAP contracts share: coroutines as Deferreds, our errors as Twisted's."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import update_wrapper
from typing import Any, Concatenate, ParamSpec, TypeVar

from twisted.internet.defer import Deferred
from twisted.mail import imap4

from lightmail.errors import MailboxExists, MailError, NoSuchMailbox, ReadOnly
from lightmail.imap.tokens import Bad

P = ParamSpec("P")
T = TypeVar("T")

_KINDS = {
    NoSuchMailbox: imap4.NoSuchMailbox,
    MailboxExists: imap4.MailboxCollision,
    ReadOnly: imap4.ReadOnlyMailbox,
}


def _twisted(error: MailError | Bad) -> imap4.MailboxException:
    """The exception of Twisted's contracts for an error of ours."""
    for ours, theirs in _KINDS.items():
        if isinstance(error, ours):
            return theirs(error.text)
    return imap4.MailboxException(error.text)


def deferred(
    method: Callable[Concatenate[Any, P], Coroutine[Deferred[Any], Any, T]],
) -> Callable[Concatenate[Any, P], Deferred[T]]:
    """A coroutine method as one that returns a Deferred, and fails as Twisted's contracts have it."""

    async def run(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await method(self, *args, **kwargs)
        except (MailError, Bad) as error:
            raise _twisted(error) from error

    def started(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        return Deferred.fromCoroutine(run(self, *args, **kwargs))

    update_wrapper(started, method)
    return started
