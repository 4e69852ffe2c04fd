"""What is said to an LMTP client: a code, an enhanced status code (RFC 2034, RFC 3463), one line of ASCII."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from lightmail.errors import MailError, ServerBug


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply. ``enhanced`` is empty where none belongs: greeting, LHLO and 354."""

    code: int
    enhanced: str
    text: str

    def __str__(self) -> str:
        """The reply without its CRLF, for the log."""
        return " ".join(word for word in (str(self.code), self.enhanced, self.text) if word)

    @property
    def wire(self) -> bytes:
        """The reply as it is sent, with its CRLF."""
        return _wire(self)


@lru_cache(maxsize=256)
def _wire(reply: Reply) -> bytes:
    return f"{reply}\r\n".encode("ascii", "replace")


class Refused(Exception):
    """A command that is answered by an error reply and changes nothing."""

    def __init__(self, code: int, enhanced: str, text: str) -> None:
        super().__init__(text)
        self.reply = Reply(code, enhanced, text)


def refusal(error: BaseException) -> Reply:
    """The reply for an error: a MailError's own, else that of ServerBug, which tells nothing of it."""
    if not isinstance(error, MailError):
        error = ServerBug()
    code, enhanced = error.smtp
    if error.transient and code >= 500:  # P8: a transient fault never becomes a permanent answer
        code, enhanced = ServerBug.smtp
    return Reply(code, enhanced, error.text)
