"""One IMAP connection: octets in, one queue of commands, responses out.

:class:`ImapServer` is Twisted's ``IMAP4Server`` with its transport, state names, timeouts, portal and account and
mailbox contracts; it owns what the stock class does wrong or without bounds: framing, the order of commands, STARTTLS.
What a command does stands in the tables (``table.py``); this module only decides when it runs and how it is answered.
"""

# mypy: disallow-untyped-calls=False
# (the methods of Twisted's IMAP4Server and TimeoutMixin have no annotations)

from __future__ import annotations

from contextlib import suppress
from functools import cache
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import Counter, Histogram
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ISSLTransport, ITCPTransport
from twisted.logger import Logger
from twisted.mail import imap4
from twisted.python.failure import Failure

from lightmail import metrics, stalls, traces
from lightmail.errors import MailError, NoSuchMailbox, ServerBug
from lightmail.imap import table
from lightmail.imap.commands import Completion
from lightmail.imap.framing import Bounds
from lightmail.imap.intake import Intake
from lightmail.imap.output import Disconnected, Output
from lightmail.imap.requests import Request
from lightmail.imap.sync import announce
from lightmail.imap.tokens import Bad
from lightmail.index.view import NOTHING
from lightmail.peers import is_loopback
from lightmail.sessions import About
from lightmail.turns import Turn

if TYPE_CHECKING:
    from collections.abc import Callable

    from lightmail.imap.account import MailAccount
    from lightmail.imap.admission import Pass
    from lightmail.imap.commands import Command
    from lightmail.imap.mailbox import SelectedMailbox
    from lightmail.imap.services import ImapServices
    from lightmail.index.view import Updates
    from lightmail.model import Account, MailboxId

log = Logger()

# A client that does not read for this long is cut off: what it was sent holds memory here.
_STALL_SECONDS: Final = 300
# How long the last words to a client may take to leave.
_CLOSE_SECONDS: Final = 30
_DISCARD_OCTETS_BEFORE_LOGIN: Final = 1 << 16

_LOGGED_IN: Final = frozenset({"auth", "select"})
_PHASES: Final = {"unauth": "login", "auth": "authenticated", "select": "selected"}


@cache
def _counter(command: str, status: bytes) -> Counter:
    return metrics.IMAP_REQUESTS.labels(command, status.decode("ascii").lower())


@cache
def _histogram(command: str) -> Histogram | None:
    """Where the seconds of a command are observed; None for one that lasts as long as its client likes."""
    return None if command == "IDLE" else metrics.IMAP_SECONDS.labels(command)


class ImapServer(imap4.IMAP4Server):
    """A session. Commands use its public attributes and methods; everything runs in the reactor's thread.

    ``account`` is the account that is logged in, ``mbox`` (or ``selected``) the mailbox that is open, both None
    otherwise. ``address`` is the client's host, ``local`` whether that is this one, ``secure`` whether TLS protects the
    connection. ``enabled`` are the extensions that ENABLE turned on. ``appended_to`` is where the last APPEND put its
    message, by name and id. ``place`` counts it among the connections. ``id`` names the session in the log.
    ``client`` is what the client calls itself, by ID.
    """

    IDENT = b"LightMail ready"
    transport: Any
    portal: Any
    account: MailAccount | None
    mbox: SelectedMailbox | None

    def __init__(self, services: ImapServices, address: str, place: Pass) -> None:
        super().__init__(contextFactory=services.tls)
        limits = services.limits
        self.services: Final = services
        self.address: Final = address
        self.local: Final = is_loopback(address)
        self.place: Final = place
        self.id: Final = traces.fresh()
        self.timeOut = limits.login_seconds
        self.POSTAUTH_TIMEOUT = services.config.session_timeout_seconds
        self.secure = False
        self.enabled: frozenset[bytes] = frozenset()
        self.client = ""
        self.failed_logins = 0
        self.appended_to: tuple[str, MailboxId] | None = None
        self._commands = 0
        self._bad_commands = 0
        self._serving = False
        self._woken = False
        self._sleeper: Deferred[None] | None = None
        self._then: Callable[[], None] | None = None
        self._last_words: bytes | None = None
        self._output: Output
        self._intake: Intake

    # -- what commands use

    @property
    def selected(self) -> SelectedMailbox | None:
        """The mailbox that is open."""
        return self.mbox

    @property
    def owner(self) -> Account:
        """The account that is logged in, for commands of the authenticated states."""
        if self.account is None:
            raise RuntimeError("nobody is logged in")
        return self.account.owner

    def untagged(self, *parts: bytes) -> None:
        """Send one untagged response, ``* `` and the parts with spaces between. For few and short ones."""
        self._output.write(b"* " + b" ".join(parts) + b"\r\n")

    def proceed(self, text: bytes = b"") -> None:
        """Send a continuation request."""
        self._output.write(b"+ " + text + b"\r\n")

    async def write(self, data: bytes) -> None:
        """Send octets as they are, and wait while the client does not read; Disconnected when it has gone.

        What is long comes in pieces of about 64 KiB.
        """
        self._output.write(data)
        if self._output.paused or self._output.lost:
            await self._drain()

    async def answer(self, data: bytes) -> None:
        """As `write`, of octets behind which the command says no more: where they are few, its end leaves with them."""
        self._output.hold(data)
        if self._output.paused or self._output.lost:
            await self._drain()

    async def sync(self, may_expunge: bool, *, with_uids: bool = True) -> Updates:
        """Tell the client what has changed in the selected mailbox: EXPUNGE where it may be, EXISTS, RECENT, FETCH.

        What was told is returned.
        """
        return NOTHING if self.mbox is None else await announce(self, self.mbox, may_expunge, with_uids=with_uids)

    async def tell(self, may_expunge: bool, *, with_uids: bool = True) -> Updates:
        """`sync` after a change that the command has made: it stands, so what cannot be told now is told later."""
        with suppress(MailError):
            return await self.sync(may_expunge, with_uids=with_uids)
        return NOTHING

    @property
    def queued(self) -> tuple[Request, ...]:
        """The commands that wait, in order: what they will need may be fetched for all at once."""
        return self._intake.queued

    def take_line(self) -> bytes | None:
        """The next line, for a command whose row is a barrier; None when there is none yet. See `sleep`."""
        return self._intake.take_line()

    async def sleep(self) -> None:
        """Wait until octets come in or `wake` is called, perhaps since the last time; Disconnected at the end."""
        if not self._woken and self.state != "logout":
            self._sleeper = Deferred()
            await self._sleeper
        self._woken = False
        if self.state == "logout":
            raise Disconnected

    def wake(self) -> None:
        """End `sleep`, now or when it begins."""
        self._woken = True
        sleeper, self._sleeper = self._sleeper, None
        if sleeper is not None:
            sleeper.callback(None)

    def authenticated(self, account: MailAccount, logout: Callable[[], None]) -> None:
        """Enter the authenticated state; `logout` is called once, when the session ends."""
        if self.state == "logout":  # it ended while the credentials were being checked
            logout()
            raise Disconnected
        log.info(
            "{session} is {account} at {address}", session=self.id, account=account.owner.address, address=self.address
        )
        limits = self.services.limits
        self.account = account
        self.state = "auth"
        self._onLogout = logout
        self._bad_commands = 0
        self._intake.rebound(Bounds(limits.line_octets, limits.literal_octets, 2 * limits.append_octets))
        self.setTimeout(self.POSTAUTH_TIMEOUT)

    def select(self, mailbox: SelectedMailbox) -> None:
        """Enter the selected state."""
        if self.state == "logout":
            mailbox.release()
            raise Disconnected
        self.mbox = mailbox
        self.state = "select"

    def deselect(self) -> None:
        """Leave the selected state, if that is the state; nothing is expunged."""
        mailbox, self.mbox = self.mbox, None
        if mailbox is not None:
            mailbox.release()
        if self.state == "select":
            self.state = "auth"

    def start_tls(self) -> None:
        """Begin TLS at the next octet. Whatever came in plain text behind the command is dropped (RFC 9051, 11.1)."""
        self._intake.clear()
        self.transport.startTLS(self.ctx)
        self.startedTLS = self.secure = True

    def bye(self, text: bytes) -> None:
        """Say BYE and close the connection; nothing else is run or sent."""
        if self.state != "logout":
            self.untagged(b"BYE", text)
            self.close()

    def close(self) -> None:
        """Close the connection once what was written has been sent."""
        self._leave()
        self.setTimeout(_CLOSE_SECONDS)
        self._intake.regulate(busy=False)  # the client's half of closing has to be read
        self._output.close()

    @property
    def phase(self) -> str:
        """For metrics: login, authenticated, selected, idle (in IDLE), or logout."""
        if self._sleeper is not None and self.state in _LOGGED_IN:
            return "idle"
        return _PHASES.get(self.state, "logout")

    def about(self) -> About | None:
        """Who has logged in."""
        if self.account is None:
            return None
        return About(self.account.owner.id, self.address, self.secure, self.client)

    def drain(self, why: str) -> None:
        """Say BYE and close, after the running command has been answered (IDLE counts as waiting)."""
        if not self._serving or self._sleeper is not None:
            self.bye(why.encode("ascii"))
        else:
            self._last_words = why.encode("ascii")

    def abort(self) -> None:
        """Cut the connection."""
        self.transport.abortConnection()

    def then(self, action: Callable[[], None]) -> None:
        """Call `action` when the running command has been answered."""
        self._then = action

    # -- Twisted's protocol

    def connectionMade(self) -> None:
        """Greet the client."""
        limits = self.services.limits
        self._output = Output(self.transport)
        self._intake = Intake(
            self.transport,
            Bounds(limits.line_octets_before_login, limits.literal_octets_before_login, _DISCARD_OCTETS_BEFORE_LOGIN),
        )
        self.secure = ISSLTransport.providedBy(self.transport)
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)  # responses leave whole: there is nothing to wait for
        self.factory.sessions.opened(self)
        super().connectionMade()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Let go of everything; a command that runs ends by itself."""
        super().connectionLost(reason)
        if self.account is not None:
            log.info("{session} ended after {commands} commands", session=self.id, commands=self._commands)
        self.factory.sessions.closed(self)
        self.place.leave()
        self._output.stopProducing()
        self._leave()

    def listCapabilities(self) -> list[bytes]:
        """What the tables bring, for this session as it is now."""
        return table.capabilities(self)

    def lookupCommand(self, cmd: bytes) -> Command[Any] | None:
        """The row of a command that is legal in this state, or None."""
        row = table.COMMANDS.get(cmd.upper())
        return row if row is not None and self.state in row.states else None

    def dataReceived(self, data: bytes) -> None:
        """Frame what came in, and run it."""
        stalls.stirred("imap")
        if self.state == "logout":
            return
        if self.state in _LOGGED_IN and not self._output.paused:
            self.resetTimeout()
        intake = self._intake
        intake.receive(data)
        if not self._serving:
            if intake.pending:
                Deferred.fromCoroutine(self._serve())
        elif intake.barred:
            self.wake()
        intake.regulate(self._serving)

    def timeoutConnection(self) -> None:
        """The client has not been heard of, or has not read, for too long."""
        if self.state == "logout" or self._output.paused:
            self.transport.abortConnection()
        elif self._serving and self._sleeper is None and self.state != "unauth":
            # A command takes long: what it waits for has deadlines of its own.
            self.setTimeout(self.POSTAUTH_TIMEOUT)
        else:
            self.bye(b"Autologout, idle for too long")

    # -- the queue

    async def _serve(self) -> None:
        """Run what is queued, one at a time, and decide about literals once nothing is queued before them."""
        self._serving = True
        traces.CURRENT.set(self.id)
        intake = self._intake
        turn = Turn(self.services.database.reactor)
        try:
            while self.state != "logout":
                request = intake.next()
                if request is not None:
                    await self._run(request)
                elif intake.announced:
                    await intake.admit(self)
                elif intake.spool_full:
                    await intake.flush()
                else:
                    break
                intake.advance()
                intake.regulate(busy=True)
                await turn.offer()
        except Disconnected:
            pass
        except Exception:
            log.failure("{session} failed", session=self.id)
            self.transport.abortConnection()
        finally:
            self._serving = False
        if self.state != "logout":
            intake.regulate(busy=False)

    async def _run(self, request: Request) -> None:
        """Run one command and answer it."""
        began = perf_counter()
        self._commands += 1
        try:
            completion = await self._carry_out(request)
        except Disconnected:
            raise
        except Exception as error:
            completion = self._translated(error, request.name)
        finally:
            request.frame.close()
        await self._sync_after(request)
        self._complete(request.tag, completion, request.name)
        name = request.row.name.decode("ascii") if request.row is not None else "unknown"
        _counter(name, completion.status).inc()
        if (seconds := _histogram(name)) is not None:
            seconds.observe(perf_counter() - began)
        await self._go_on(request, completion)

    async def _go_on(self, request: Request, completion: Completion) -> None:
        """What follows a tagged response: the next command, TLS, or the end."""
        if request.row is not None and request.row.barrier:
            self._intake.unbar()
        then, self._then = self._then, None
        if then is not None:
            then()
        if request.frame.fatal:
            self.bye(b"The rest of the command is too long to be skipped")
        elif self._last_words is not None:
            self.bye(self._last_words)
        elif self._too_many_bad(completion):
            self.bye(b"Too many bad commands")
        elif self._output.paused:
            await self._drain()

    async def _carry_out(self, request: Request) -> Completion:
        if request.frame.error is not None:
            raise request.frame.error
        row = request.row
        if row is None:
            raise Bad("Unknown command" if request.name else "Missing command")
        if self.state not in row.states:
            raise Bad("Not in this state")
        return await row.run(self, request.arguments())

    async def _sync_after(self, request: Request) -> None:
        """Untagged changes go before the tagged response, which stands whether or not they can be had just now."""
        if self.mbox is None:
            return
        try:
            await self.sync(may_expunge=not (request.uses_seqs or self._intake.numbers_in_use))
        except NoSuchMailbox:
            self._last_words = b"The selected mailbox has been deleted"
        except MailError as error:
            log.debug("{session} cannot be told of changes now: {error}", session=self.id, error=error)

    def _translated(self, error: Exception, command: bytes) -> Completion:
        """The answer to what a command raised: the one place where errors become IMAP."""
        if isinstance(error, Bad):
            return Completion(b"BAD", None, error.text.encode("ascii", "replace"))
        if not isinstance(error, MailError):
            log.failure("{session} failed in {command}", session=self.id, command=command)
            error = ServerBug()
        return Completion(b"NO", error.imap_code, error.text.encode("ascii", "replace"))

    def _complete(self, tag: bytes, completion: Completion, name: bytes) -> None:
        text = completion.text or name + b" completed"
        code = b"[" + completion.code + b"] " if completion.code is not None else b""
        line = b"%b %b %b%b\r\n" % (tag, completion.status, code, text)
        if self._intake.pending:
            self._output.write(line)
        else:
            self._output.write_last(line)

    def _too_many_bad(self, completion: Completion) -> bool:
        """Whether the client sends nothing but bad commands. A good one wipes the slate clean once it has logged in:
        a session of days may well send a bad one now and then."""
        before_login = self.state == "unauth"
        if completion.status != b"BAD":
            if not before_login:
                self._bad_commands = 0
            return False
        limits = self.services.limits
        self._bad_commands += 1
        return self._bad_commands >= (limits.bad_commands_before_login if before_login else limits.bad_commands)

    # -- odds and ends

    async def _drain(self) -> None:
        if self.state in _LOGGED_IN:
            self.setTimeout(min(_STALL_SECONDS, self.POSTAUTH_TIMEOUT))
        await self._output.drain()
        if self.state in _LOGGED_IN:
            self.setTimeout(self.POSTAUTH_TIMEOUT)

    def _leave(self) -> None:
        """Enter the logout state: whatever waits is dropped, and a command that sleeps ends."""
        self.deselect()
        self.state = "logout"
        self._intake.clear()
        self.wake()
