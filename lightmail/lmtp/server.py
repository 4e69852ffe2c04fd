"""One LMTP connection (RFC 2033): commands in order, replies in order, the data in a phase of its own.

The whole conversation is one coroutine over a :class:`~lightmail.channel.Channel`, so that pipelined commands, a QUIT
behind a DATA too, need no queue here: what was sent ahead waits in the channel until the command before it is answered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Final

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from lightmail import points, traces
from lightmail.channel import Channel, Closed, Draining, EndlessLine, LineTooLong, TimedOut
from lightmail.delivery.addresses import Target
from lightmail.delivery.headers import Trace
from lightmail.delivery.incoming import Incoming
from lightmail.delivery.routing import Routing
from lightmail.errors import MailError, TooBig
from lightmail.lmtp import commands
from lightmail.lmtp.commands import Chunk, Sender
from lightmail.lmtp.dotted import DottedData
from lightmail.lmtp.handover import Envelope, hand_over, refuse
from lightmail.lmtp.replies import Refused, Reply, refusal
from lightmail.lmtp.services import LmtpServices
from lightmail.peers import literal
from lightmail.sessions import About

# RFC 5321 section 4.5.3.2 asks servers to wait five minutes for a command.
TIMEOUT_SECONDS: Final = 300.0
# A message over the bound is read to its end up to this multiple of the bound, so that the client hears why.
OVERRUN: Final = 16
# A message's data must be complete within this time, however slowly it trickles.
MESSAGE_SECONDS: Final = 3600.0
# Recipients whose routes are looked up in one hand-off to the database.
LOOKED_UP_TOGETHER: Final = 100
# Octets taken from the input at once while data arrives.
CHUNK_OCTETS: Final = 64 << 10

_CAPABILITIES: Final = ("PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING")


class LmtpServer(Protocol):
    """A session. `turns` bounds the deliveries in progress; `ended` is called once when the session is over."""

    log: ClassVar[Logger] = Logger()

    def __init__(
        self,
        services: LmtpServices,
        routing: Routing,
        turns: DeferredSemaphore,
        ended: Callable[[LmtpServer], None],
    ) -> None:
        self.id = traces.fresh()
        self._services = services
        self._routing = routing
        self._turns = turns
        self._ended = ended
        self._client = ""
        self._address = ""
        self._peer = ""
        self._bad_commands = 0
        self._transactions = 0
        self._sender: Sender | None = None
        self._routes: list[tuple[Target, ...]] = []
        self._chunks: Incoming | None = None  # what BDAT has brought so far

    # What Twisted calls

    def connectionMade(self) -> None:
        """Greet, and begin the conversation."""
        transport: Any = self.transport
        self._channel = Channel(transport, self._services.reactor, TIMEOUT_SECONDS)
        self._address = str(getattr(transport.getPeer(), "host", ""))
        self._peer = literal(self._address)
        self._say(Reply(220, "", f"{self._services.hostname} LMTP LightMail ready"))
        Deferred.fromCoroutine(self._session())

    def dataReceived(self, data: bytes) -> None:
        """Take in octets."""
        self._channel.received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The conversation ends at its next word; a delivery in progress runs to its end."""
        self._channel.lost()

    @property
    def phase(self) -> str:
        """For metrics: waiting, or in a transaction."""
        return "waiting" if self._sender is None else "transaction"

    def about(self) -> About:
        """The mail server that delivers. Nobody logs in to LMTP."""
        return About(None, self._address, False, self._client)

    def drain(self, why: str) -> None:
        """End the session once it is between two commands."""
        self._channel.drain(why)

    def abort(self) -> None:
        """Cut the connection."""
        self._channel.abort()

    # The conversation

    async def _session(self) -> None:
        try:
            await self._converse()
        except Closed:
            pass
        except TimedOut:
            self._bye(421, "4.4.2", "Timed out, closing")
        except EndlessLine:
            self._bye(500, "5.5.2", "Line too long")
        except Draining as draining:
            self._bye(421, "4.3.2", f"{draining}, try again later")
        except Exception:
            self.log.failure("lmtp session {session} failed", session=self.id)
            self._bye(421, "4.3.0", "Internal error, it has been logged")
        finally:
            self._reset()
            self._ended(self)

    async def _converse(self) -> None:
        channel = self._channel
        most = self._services.limits.line_octets_before_login
        while not channel.is_closed:
            await channel.drained()
            try:
                channel.by = self._services.reactor.seconds() + TIMEOUT_SECONDS
                line = await channel.line(most)
                channel.by = None
            except LineTooLong:
                self._refuse(Reply(500, "5.5.2", "Line too long"))
                continue
            await self._command(line)

    async def _command(self, line: bytes) -> None:
        traces.CURRENT.set(self.id if self._sender is None else self._trace)
        try:
            verb, rest = commands.command(line)
            run = self._COMMANDS.get(verb)
            if run is None:
                raise Refused(500, "5.5.1", "Command not recognized")
            if self._chunks is not None and verb in (b"MAIL", b"RCPT", b"DATA"):
                raise Refused(503, "5.5.1", "BDAT must go on, or RSET")
            await run(self, rest)
        except Refused as refused:
            self._refuse(refused.reply)
        except MailError as error:
            self._say(refusal(error))

    async def _lhlo(self, rest: bytes) -> None:
        self._client = commands.lhlo(rest)
        self._reset()
        size = f"SIZE {self._services.config.max_message_octets}"
        lines = [self._services.hostname, *_CAPABILITIES]
        self._channel.write("".join(f"250-{line}\r\n" for line in lines).encode() + f"250 {size}\r\n".encode())

    async def _no_helo(self, rest: bytes) -> None:
        raise Refused(500, "5.5.1", "This is LMTP: say LHLO")

    async def _mail(self, rest: bytes) -> None:
        if not self._client:
            raise Refused(503, "5.5.1", "Say LHLO first")
        if self._sender is not None:
            raise Refused(503, "5.5.1", "There is a sender already")
        sender = commands.mail(rest)
        if sender.octets is not None and sender.octets > self._services.config.max_message_octets:
            about = {"sender": sender.address, "octets": sender.octets}
            self.log.info("refused from <{sender}>: {octets} octets are too many", **about)
            raise TooBig
        self._sender = sender
        self._transactions += 1
        traces.CURRENT.set(self._trace)
        self._say(Reply(250, "2.1.0", "Sender OK"))

    async def _rcpt(self, rest: bytes) -> None:
        """One RCPT, and those sent ahead right behind it: their routes are looked up together."""
        if self._sender is None:
            raise Refused(503, "5.5.1", "MAIL first")
        given = [self._recipient(rest)]
        most = self._services.limits.line_octets_before_login
        while len(given) < LOOKED_UP_TOGETHER and (line := self._channel.next_line_if(b"RCPT ", most)) is not None:
            given.append(self._recipient(line[5:]))
        addresses = [address for address in given if isinstance(address, str)]
        routes = iter(await self._look_up(addresses))
        for address in given:
            if isinstance(address, str):
                self._accept(address, next(routes))
            else:
                self._refuse(address)

    def _recipient(self, rest: bytes) -> str | Reply:
        try:
            return commands.rcpt(rest)
        except Refused as refused:
            return refused.reply

    async def _look_up(self, addresses: list[str]) -> list[list[Target] | MailError]:
        if not addresses:
            return []
        try:
            return await self._routing.look_up(addresses)
        except MailError as error:
            return [error] * len(addresses)

    def _accept(self, address: str, found: list[Target] | MailError) -> None:
        assert self._sender is not None
        if isinstance(found, MailError):
            self._say(refuse(self._sender.address, address, found))
        elif self._is_full(len(found)):
            self._say(Reply(452, "4.5.3", "Too many recipients"))
        else:
            self._routes.append(tuple(found))
            self._say(Reply(250, "2.1.5", "Recipient OK"))

    def _is_full(self, more: int) -> bool:
        """Whether so many more targets are too many for one transaction; the first recipient's never are."""
        most = self._services.limits.recipients
        return bool(self._routes) and sum(map(len, self._routes)) + more > most

    async def _data(self, rest: bytes) -> None:
        if rest:
            raise Refused(501, "5.5.4", "Syntax: DATA")
        if self._sender is None or not self._routes:
            raise Refused(503, "5.5.1", "No valid recipients")
        self._say(Reply(354, "", "Send the message, end it with CRLF.CRLF"))
        incoming = self._new_message()
        try:
            if await self._receive_dotted(incoming):
                await self._finish(incoming)
        finally:
            incoming.close()

    async def _receive_dotted(self, incoming: Incoming) -> bool:
        """Take in the data to its end; False when the message was so far over the bound that we hang up."""
        dotted = DottedData()
        by = self._services.reactor.seconds() + MESSAGE_SECONDS
        while dotted.rest is None:
            await self._take(incoming, dotted.feed(await self._channel.some()), by)
            if self._overrun(incoming.octets):
                return False
        if dotted.rest:
            self._channel.unread(dotted.rest)
        return True

    async def _bdat(self, rest: bytes) -> None:
        chunk = commands.bdat(rest)
        if chunk is None:
            self._bye(501, "5.5.4", "Syntax: BDAT octets [LAST]")
            return
        wanted = self._sender is not None and bool(self._routes)
        if self._chunks is None and wanted:
            self._chunks = self._new_message()
        if not await self._receive_chunk(chunk, self._chunks):
            return
        incoming = self._chunks
        if incoming is None:
            raise Refused(503, "5.5.1", "No valid recipients")
        if chunk.last:
            await self._finish(incoming)
        elif incoming.failure is not None:
            # RFC 3030 section 2: after a chunk has failed only RSET helps; later chunks are read and refused.
            failure = incoming.failure
            self._reset()
            raise failure
        else:
            self._say(Reply(250, "2.0.0", f"{chunk.octets} octets received"))

    async def _receive_chunk(self, chunk: Chunk, incoming: Incoming | None) -> bool:
        """Take in exactly the chunk's octets, into nothing where there is no transaction; False when we hang up."""
        before = incoming.octets if incoming is not None else 0
        if self._overrun(before + chunk.octets):
            return False
        left = chunk.octets
        by = self._services.reactor.seconds() + MESSAGE_SECONDS
        while left:
            data = await self._channel.some(min(left, CHUNK_OCTETS))
            left -= len(data)
            await self._take(incoming, data, by)
        return True

    async def _take(self, incoming: Incoming | None, data: bytes, by: float) -> None:
        """Add message octets, at the pace of the spool; TimedOut past the moment `by`."""
        if incoming is not None:
            incoming.write(data)
            if incoming.needs_flush:
                await incoming.flush()
        if self._services.reactor.seconds() > by:
            raise TimedOut

    def _overrun(self, octets: int) -> bool:
        """Hang up on a message that is absurdly far over the bound; each recipient is told why."""
        if octets <= OVERRUN * self._services.config.max_message_octets:
            return False
        sender = self._sender.address if self._sender is not None else ""
        self.log.info("refused from <{sender}>: {octets} octets and more, cut off", sender=sender, octets=octets)
        for _ in self._routes or [()]:
            self._say(refusal(TooBig()))
        self._channel.close()
        return True

    async def _finish(self, incoming: Incoming) -> None:
        """The message is complete: deliver it, and reply to each recipient."""
        assert self._sender is not None
        points.reached("message-received")
        trace = Trace(
            client=self._client,
            peer=self._peer,
            hostname=self._services.hostname,
            protocol="UTF8LMTP" if self._sender.utf8 else "LMTP",
            id=self._trace,
        )
        envelope = Envelope(self._sender.address, tuple(self._routes))
        self._channel.flush()
        replies = await hand_over(self._services, self._turns, envelope, incoming, trace)
        self._reset()
        self._channel.write(b"".join(reply.wire for reply in replies))
        points.reached("reply-written")

    async def _rset(self, rest: bytes) -> None:
        self._reset()
        self._say(Reply(250, "2.0.0", "OK"))

    async def _noop(self, rest: bytes) -> None:
        self._say(Reply(250, "2.0.0", "OK"))

    async def _vrfy(self, rest: bytes) -> None:
        self._say(Reply(252, "2.5.0", "Use RCPT, it tells"))

    async def _help(self, rest: bytes) -> None:
        self._say(Reply(214, "2.0.0", "LHLO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT"))

    async def _quit(self, rest: bytes) -> None:
        self._bye(221, "2.0.0", "Bye")

    _COMMANDS: ClassVar[dict[bytes, Callable[[LmtpServer, bytes], Awaitable[None]]]] = {
        b"LHLO": _lhlo,
        b"HELO": _no_helo,
        b"EHLO": _no_helo,
        b"MAIL": _mail,
        b"RCPT": _rcpt,
        b"DATA": _data,
        b"BDAT": _bdat,
        b"RSET": _rset,
        b"NOOP": _noop,
        b"VRFY": _vrfy,
        b"HELP": _help,
        b"QUIT": _quit,
    }

    # Small things

    @property
    def _trace(self) -> str:
        """The trace of the mail transaction, which is the id in its message's Received field, too."""
        return f"{self.id}.{self._transactions}"

    def _new_message(self) -> Incoming:
        return Incoming(self._services.spools, self._services.config.max_message_octets)

    def _reset(self) -> None:
        """Forget the mail transaction."""
        self._sender = None
        self._routes = []
        if self._chunks is not None:
            self._chunks.close()
            self._chunks = None

    def _say(self, reply: Reply) -> None:
        self._channel.write(reply.wire)

    def _refuse(self, reply: Reply) -> None:
        """Answer a bad command, and hang up on a peer that sends nothing else."""
        self._say(reply)
        self._bad_commands += 1
        if self._bad_commands >= self._services.limits.bad_commands:
            self._bye(421, "4.7.0", "Too many errors")

    def _bye(self, code: int, enhanced: str, text: str) -> None:
        self._say(Reply(code, enhanced, text))
        self._channel.close()
