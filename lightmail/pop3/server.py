"""One POP3 connection (RFC 1939): a line in, an answer out, one command at a time.

:class:`Pop3Server` keeps of Twisted's ``POP3`` its transport, its factory, its ``mbox`` (an IMailboxPOP3) and the seams
``processCommand``, ``authenticateUserPASS`` and ``listCapabilities``; it owns what the stock class does wrong or has no
bounds for: input, the order of commands, transfers, capabilities, the look of errors. What a command does stands in the
tables of ``authorization`` and ``transaction``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ISSLTransport
from twisted.logger import Logger
from twisted.mail import pop3
from twisted.mail.interfaces import IMailboxPOP3
from twisted.python.failure import Failure

from lightmail import __version__
from lightmail.channel import Channel, Closed, Draining, EndlessLine, LineTooLong, TimedOut
from lightmail.errors import AccountDisabled, AuthenticationFailed, AuthorizationFailed, InUse, MailError
from lightmail.metrics import POP3_REQUESTS
from lightmail.pop3 import authorization, transaction
from lightmail.pop3.commands import AUTHORIZATION, TRANSACTION, Bad, Command, refusal
from lightmail.pop3.maildrop import Maildrop, open_maildrop
from lightmail.sessions import About
from lightmail.traces import CURRENT, fresh

if TYPE_CHECKING:
    from lightmail.pop3.services import Pop3Services

log = Logger()

COMMANDS: Final[dict[bytes, Command]] = {
    command.name: command for command in (*authorization.COMMANDS, *transaction.COMMANDS)
}


class Pop3Server(pop3.POP3):
    """A session. ``address`` is the client's host, empty for a Unix socket.

    `known` is called once, when the client has logged in or the session ends, `ended` when all is over.
    """

    # Nothing inherited may answer for us: APOP, RPOP, LAST and the rest are not in the tables.
    AUTH_CMDS = [c.name for c in COMMANDS.values() if AUTHORIZATION in c.states]
    mbox: Maildrop | None

    def __init__(
        self,
        services: Pop3Services,
        address: str,
        local: bool,
        *,
        known: Callable[[Pop3Server], None],
        ended: Callable[[Pop3Server], None],
    ) -> None:
        self.services: Final = services
        self.address: Final = address
        self.id: Final = fresh()
        self.user: bytes | None = None
        self.mbox = None
        self.secure = False
        self._local = local
        self._known: Callable[[Pop3Server], None] | None = known
        self._ended = ended
        self._bad_commands = 0
        self._failed_logins = 0
        self._channel: Channel

    # What Twisted calls

    def connectionMade(self) -> None:
        """Greet, and begin the conversation."""
        transport: Any = self.transport
        self.secure = ISSLTransport.providedBy(transport)
        reactor, login_seconds = self.services.reactor, self.services.limits.login_seconds
        self._channel = Channel(transport, reactor, login_seconds)
        self._channel.by = reactor.seconds() + login_seconds
        self.send(b"+OK LightMail POP3 ready\r\n")
        Deferred.fromCoroutine(self._session())

    def dataReceived(self, data: bytes) -> None:
        """Take in octets."""
        self._channel.received(data)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """The conversation ends at its next word; nothing is removed."""
        self._channel.lost()

    # What commands use

    @property
    def drop(self) -> Maildrop:
        """The maildrop; only in the TRANSACTION state."""
        assert self.mbox is not None
        return self.mbox

    @property
    def may_log_in(self) -> bool:
        """Whether a password may cross this connection: it is encrypted, or never leaves this host."""
        return self.secure or (self._local and not self.services.config.tls_only)

    @property
    def may_start_tls(self) -> bool:
        """Whether STLS can be done."""
        return self.services.tls is not None and not self.secure

    def send(self, data: bytes) -> None:
        """Write octets; whoever writes much awaits `drained` after each 64 KiB or so."""
        self._channel.write(data)

    async def drained(self) -> None:
        """Wait while the client does not read."""
        await self._channel.drained()

    async def line(self) -> bytes:
        """The next line, for a command that asks for one."""
        try:
            return await self._channel.line(self.services.limits.line_octets_before_login)
        except LineTooLong:
            raise Bad("Line too long.") from None

    def start_tls(self) -> None:
        """Begin TLS at the next octet; what came in the clear, before the command or behind it, counts no more."""
        self.send(b"+OK Begin TLS\r\n")
        self._channel.forget_input()
        self.user = None
        self._channel.flush()
        transport: Any = self.transport
        transport.startTLS(self.services.tls)
        self.secure = True

    async def log_in(self, user: bytes, password: bytes, authorize_as: bytes = b"") -> None:
        """Check credentials, lock the maildrop, and enter the TRANSACTION state."""
        try:
            _, drop, _ = await self.authenticateUserPASS(user, password, authorize_as)
        except (AuthenticationFailed, AuthorizationFailed, AccountDisabled) as error:
            self._failed_logins += 1
            self.send(refusal(error))
            if self._failed_logins >= self.services.config.max_failed_attempts:
                self.close()
            return
        self.mbox = drop
        if self._channel.is_closed:  # the client left meanwhile
            raise Closed
        self._no_stranger()
        self._channel.timeout_seconds = self.services.config.session_timeout_seconds
        self._channel.by = None
        self._bad_commands = 0
        self.send(b"+OK %d messages (%d octets)\r\n" % (drop.count, drop.octets))

    async def leave(self) -> None:
        """Give the maildrop back; nothing is removed."""
        drop, self.mbox = self.mbox, None
        if drop is not None:
            await drop.close()

    def close(self) -> None:
        """Close the connection once what was written has been sent."""
        self._channel.close()

    def abort(self) -> None:
        """Cut the connection."""
        self._channel.abort()

    @property
    def phase(self) -> str:
        """For metrics: before login, or in a transaction."""
        return "login" if self.mbox is None else "transaction"

    def about(self) -> About | None:
        """Who has logged in. POP3 has no command by which a client says what it is."""
        return None if self.mbox is None else About(self.mbox.account.id, self.address, self.secure, "")

    def drain(self, why: str) -> None:
        """End the session once it is between two commands."""
        self._channel.drain(why)

    # The seams of Twisted's POP3

    def authenticateUserPASS(
        self, user: bytes, password: bytes, authorize_as: bytes = b""
    ) -> Deferred[tuple[type[IMailboxPOP3], Maildrop, Callable[[], None]]]:
        """The interface, the maildrop and what ends it, for the right password. Fails with a MailError."""
        return Deferred.fromCoroutine(self._authenticate(user, password, authorize_as))

    def listCapabilities(self) -> list[bytes]:
        """What CAPA lists (RFC 2449), for this session as it is now."""
        capabilities = [
            b"TOP",
            b"UIDL",
            b"RESP-CODES",
            b"AUTH-RESP-CODE",
            b"PIPELINING",
            b"EXPIRE NEVER",
            b"IMPLEMENTATION LightMail " + __version__.encode(),
        ]
        if self.may_log_in:
            capabilities += [b"USER", b"SASL PLAIN"]
        if self.may_start_tls and self.mbox is None:
            capabilities.append(b"STLS")
        return capabilities

    async def processCommand(self, command: bytes, *args: bytes) -> None:
        """Run one command; `args` is the rest of its line. Raises Bad or MailError."""
        row = COMMANDS.get(command.upper())
        if row is None:
            raise Bad("Unknown command.")
        if (TRANSACTION if self.mbox is not None else AUTHORIZATION) not in row.states:
            raise Bad("Log in first." if self.mbox is None else "You are logged in.")
        await row.run(self, row.arguments(args[0] if args else b""))

    # The conversation

    async def _session(self) -> None:
        CURRENT.set(self.id)
        try:
            await self._converse()
        except Closed:
            pass
        except TimedOut:
            self._bye(b"-ERR [SYS/TEMP] Timed out, nothing was removed\r\n")
        except EndlessLine:
            self._bye(b"-ERR Line too long\r\n")
        except Draining as draining:
            self._bye(b"-ERR [SYS/TEMP] %b, nothing was removed\r\n" % str(draining).encode("ascii"))
        except Exception:
            log.failure("pop3 session {session} failed", session=self.id)
            self._bye(b"-ERR [SYS/TEMP] Internal error, it has been logged\r\n")
        finally:
            self._no_stranger()
            await self.leave()
            self._ended(self)

    async def _converse(self) -> None:
        channel = self._channel
        most = self.services.limits.line_octets_before_login
        while not channel.is_closed:
            await channel.drained()
            try:
                line = await channel.line(most)
            except LineTooLong:
                self._refuse(Bad("Line too long."))
                continue
            await self._command(line)

    async def _command(self, line: bytes) -> None:
        command, _, rest = line.partition(b" ")
        failed_logins = self._failed_logins
        result = "err"
        try:
            await self.processCommand(command, rest)
            if self._failed_logins == failed_logins:
                result = "ok"
        except Bad as bad:
            self._refuse(bad)
        except MailError as error:
            self.send(refusal(error))
        except (Closed, TimedOut, EndlessLine, Draining):
            raise
        except Exception as error:
            log.failure("pop3 session {session} failed in {command}", session=self.id, command=command[:16])
            self.send(refusal(error))
        finally:
            row = COMMANDS.get(command.upper())
            POP3_REQUESTS.labels(row.name.decode("ascii") if row is not None else "unknown", result).inc()

    async def _authenticate(
        self, user: bytes, password: bytes, authorize_as: bytes
    ) -> tuple[type[IMailboxPOP3], Maildrop, Callable[[], None]]:
        account = await self.services.authenticator.login(user, password, self.address, "pop3", authorize_as)
        try:
            drop = await open_maildrop(self.services, account, self.id)
        except InUse:
            log.info("the maildrop of account {account} is in use", account=account.id)
            raise

        def logout() -> None:
            Deferred.fromCoroutine(drop.close())

        return IMailboxPOP3, drop, logout

    def _no_stranger(self) -> None:
        known, self._known = self._known, None
        if known is not None:
            known(self)

    def _refuse(self, bad: Bad) -> None:
        """Answer a bad command, and hang up on a client that sends nothing else."""
        limits = self.services.limits
        self.send(refusal(bad))
        self._bad_commands += 1
        if self._bad_commands >= (limits.bad_commands if self.mbox is not None else limits.bad_commands_before_login):
            self._bye(b"-ERR Too many bad commands\r\n")

    def _bye(self, words: bytes) -> None:
        self.send(words)
        self.close()
