"""The errors that reach a user, each with its answer in every protocol.

An operation raises a :class:`MailError`; each protocol translates it in one place, from the attributes below.
Anything else that escapes is a bug: it is logged with its traceback and answered by :class:`ServerBug`, whose
text says nothing of the exception.

=============  ==========================================================================
``imap_code``  response code without brackets (RFC 3501 section 7.1, RFC 5530), or None
``smtp``       reply code and enhanced status code (RFC 3463), for LMTP and submission
``pop3_code``  response code without brackets (RFC 2449 section 8, RFC 3206), or None
``http``       status code of the HTTP API
``transient``  True: the same request may succeed later, so no answer may be permanent (P8)
=============  ==========================================================================
"""

from __future__ import annotations

from typing import ClassVar


class MailError(Exception):
    """A request that cannot be carried out. ``text`` is shown to clients: plain ASCII, one line, no internals.

    ``reason`` is what an operator's command says instead, where that is more: which store, and what it answered.
    """

    imap_code: ClassVar[bytes | None] = None
    smtp: ClassVar[tuple[int, str]] = (554, "5.0.0")
    pop3_code: ClassVar[bytes | None] = None
    http: ClassVar[int] = 400
    transient: ClassVar[bool] = False
    text: str = "The request cannot be carried out."

    def __init__(self, text: str | None = None, *, reason: str | None = None) -> None:
        super().__init__(text if text is not None else self.text)
        self.reason = reason
        if text is not None:
            self.text = text


class Unavailable(MailError):
    """A database, object store or queue that cannot serve now; the same request may succeed later."""

    imap_code = b"UNAVAILABLE"
    smtp = (451, "4.3.0")
    pop3_code = b"SYS/TEMP"
    http = 503
    transient = True
    text = "Temporarily unavailable, try again later."


class ServerBug(MailError):
    """The only face that an unexpected exception shows to a client."""

    imap_code = b"SERVERBUG"
    smtp = (451, "4.3.0")
    pop3_code = b"SYS/TEMP"
    http = 500
    transient = True
    text = "Internal error, it has been logged."


class SpoolFull(Unavailable):
    """No room to take in another message now."""

    smtp = (452, "4.3.1")
    text = "No space to take in a message, try again later."


class Corruption(MailError):
    """A stored object is missing, or does not decode to the octets that were stored (RFC 5530)."""

    imap_code = b"CORRUPTION"
    smtp = (451, "4.3.0")
    pop3_code = b"SYS/PERM"
    http = 500
    text = "The stored message is damaged; the operator has been told."


class OverQuota(MailError):
    """The account's octets or messages would exceed its quota (RFC 9208)."""

    imap_code = b"OVERQUOTA"
    smtp = (452, "4.2.2")
    http = 409
    text = "The mailbox is over its quota."


class TooBig(MailError):
    """A message or literal above the configured size (RFC 7889 section 4)."""

    imap_code = b"TOOBIG"
    smtp = (552, "5.3.4")
    http = 413
    text = "The message is too big."


class VirusFound(MailError):
    """A message that a scanner found a virus in, where such messages are refused (RFC 3463 section 3.8, X.7.1)."""

    imap_code = b"CANNOT"
    smtp = (554, "5.7.1")
    http = 422
    text = "A virus was found in the message."


class LimitReached(MailError):
    """A bound of this server, such as mailboxes, keywords or nesting (RFC 5530)."""

    imap_code = b"LIMIT"
    smtp = (452, "4.5.3")
    pop3_code = b"SYS/TEMP"
    http = 409
    text = "A limit of this server has been reached."


class NoSuchMailbox(MailError):
    """A mailbox that does not exist, for commands that would not create it (RFC 5530)."""

    imap_code = b"NONEXISTENT"
    smtp = (550, "5.1.1")
    http = 404
    text = "No such mailbox."


class NoSuchMessage(MailError):
    """A message, named by its id, that is not there, or is no business of who asks (RFC 5530)."""

    imap_code = b"NONEXISTENT"
    http = 404
    text = "No such message."


class NoSuchDestination(NoSuchMailbox):
    """The destination of APPEND, COPY or MOVE does not exist; CREATE would mend it (RFC 3501 section 7.1)."""

    imap_code = b"TRYCREATE"


class MailboxExists(MailError):
    """CREATE or RENAME onto a name that is taken (RFC 5530)."""

    imap_code = b"ALREADYEXISTS"
    http = 409
    text = "A mailbox of that name exists already."


class Cannot(MailError):
    """An operation that can never succeed on this object, such as deleting INBOX (RFC 5530)."""

    imap_code = b"CANNOT"
    http = 409
    text = "This cannot be done."


class HasChildren(MailError):
    """DELETE of a mailbox that cannot go while it has inferior names (RFC 5530)."""

    imap_code = b"HASCHILDREN"
    http = 409
    text = "The mailbox has child mailboxes."


class ReadOnly(MailError):
    """A change to a mailbox that was opened by EXAMINE."""

    http = 409
    text = "The mailbox is selected read-only."


class InUse(MailError):
    """Another session holds what this one asked for exclusively (RFC 5530, RFC 2449 section 8.1.2)."""

    imap_code = b"INUSE"
    pop3_code = b"IN-USE"
    smtp = (451, "4.2.1")
    http = 409
    transient = True
    text = "In use by another session."


class ExpungeIssued(MailError):
    """A message that another session has expunged meanwhile (RFC 5530)."""

    imap_code = b"EXPUNGEISSUED"
    http = 404
    text = "Some of the messages no longer exist."


class AuthenticationFailed(MailError):
    """Wrong name or password; deliberately silent about which (RFC 5530, RFC 3206)."""

    imap_code = b"AUTHENTICATIONFAILED"
    smtp = (535, "5.7.8")
    pop3_code = b"AUTH"
    http = 401
    text = "Authentication failed."


class AuthorizationFailed(MailError):
    """Authenticated, but not allowed to act as the account that was asked for (RFC 5530)."""

    imap_code = b"AUTHORIZATIONFAILED"
    smtp = (535, "5.7.8")
    pop3_code = b"AUTH"
    http = 403
    text = "Not allowed to use that account."


class NotPermitted(MailError):
    """Something that only an administrator of the whole server may do (RFC 5530)."""

    imap_code = b"NOPERM"
    http = 403
    text = "Only an administrator of the server may do that."


class PrivacyRequired(MailError):
    """A plaintext password over a connection that is neither encrypted nor local (RFC 5530)."""

    imap_code = b"PRIVACYREQUIRED"
    smtp = (538, "5.7.11")
    pop3_code = b"AUTH"
    http = 403
    text = "Use TLS before you log in."


class NoSuchAccount(MailError):
    """No account or alias has this address."""

    imap_code = b"NONEXISTENT"
    smtp = (550, "5.1.1")
    http = 404
    text = "No such user here."


class NoSuchDomain(NoSuchAccount):
    """No domain of this name or id is served here."""

    text = "There is no such domain."


class NoSuchAlias(NoSuchAccount):
    """No alias has this address, or not this target."""

    text = "There is no such alias."


class NoSuchAppPassword(NoSuchAccount):
    """No app password has this id or name."""

    text = "There is no such app password."


class NoSuchAdministrator(MailError):
    """No administrator of the web has this id or name."""

    http = 404
    text = "There is no such administrator."


class NoSuchSession(MailError):
    """No session of this id is open, as far as processes have reported."""

    http = 404
    text = "There is no such session."


class NoSuchToken(MailError):
    """No token of the HTTP API has this id."""

    http = 404
    text = "There is no such token."


class NoSuchJob(MailError):
    """No job has this id."""

    http = 404
    text = "There is no such job."


class NoSuchFile(MailError):
    """A path that names nothing where jobs may read or write."""

    http = 404
    text = "There is no such file or directory below [api] job_directory."


class NoSuchCalendar(MailError):
    """No calendar has this id."""

    http = 404
    text = "There is no such calendar."


class NoSuchEvent(MailError):
    """No event of a calendar has this id."""

    http = 404
    text = "There is no such event."


class NoSuchQueuedEvent(MailError):
    """No event with this id is on its way to the webhook, or was given up."""

    http = 404
    text = "There is no such event in the queue."


class AccountDisabled(MailError):
    """The account exists, and its operator has disabled it."""

    imap_code = b"CONTACTADMIN"
    smtp = (450, "4.2.1")
    pop3_code = b"SYS/PERM"
    http = 403
    text = "The account is disabled."


class AlreadyExists(MailError):
    """A domain, account or alias of that name exists already."""

    imap_code = b"ALREADYEXISTS"
    http = 409
    text = "It exists already."


class Invalid(MailError):
    """An argument that no state of the store could accept, such as a malformed address or mailbox name."""

    imap_code = b"CANNOT"
    smtp = (501, "5.5.4")
    http = 400
    text = "The argument is not valid."


class ConfigError(Exception):
    """A configuration that cannot be used; the text names file, section and key, and says what to do."""


class StartupError(Exception):
    """The server cannot start; the text is one line that says what is wrong and what to do."""


class Outage(StartupError):
    """What a start needs does not answer, or has no room, which may pass: a server that has served can do without."""
