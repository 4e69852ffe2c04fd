"""An account on another server as a source, over IMAP4rev1. It is only read: EXAMINE, BODY.PEEK."""

from __future__ import annotations

import imaplib
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

from lightmail.jobs import folders
from lightmail.jobs.importing.imapwire import Listed, fetched, listed, quoted
from lightmail.jobs.importing.source import Folder, Item, Left, Loaded, SourceError, kept_flags
from lightmail.model import INBOX, is_inbox

T = TypeVar("T")

PORTS: Final = {"implicit": 993, "starttls": 143, "off": 143}
_ANSWER_SECONDS: Final = 120.0
_TRIES: Final = 4
# UIDs listed by one command.
_WINDOW: Final = 10_000
_NO_MAILBOX: Final = frozenset({b"\\noselect", b"\\nonexistent"})
_SPECIAL_USES: Final = {
    use.lower().encode("ascii"): use for use in ("\\Archive", "\\Drafts", "\\Flagged", "\\Junk", "\\Sent", "\\Trash")
}


@dataclass(frozen=True, slots=True)
class Login:
    """Where to and as whom. `tls` is "implicit", "starttls" or "off"; `ca_file` holds certificates to trust instead of
    the system's, `verify` False trusts any."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    tls: Literal["implicit", "starttls", "off"] = "implicit"
    ca_file: str | None = None
    verify: bool = True


class ImapSource:
    """The mailboxes of an account elsewhere. One connection, made when it is first needed and again when it breaks."""

    # UIDVALIDITY, before the UID.
    generation_octets = 4

    def __init__(self, login: Login, *, pause: Callable[[float], None] = time.sleep) -> None:
        self._login = login
        self._pause = pause
        # Whatever port and TLS: it is the same mail.
        self.identity = f"imap:{login.user}@{login.host.lower()}"
        self._client: imaplib.IMAP4 | None = None
        self._selected: str | None = None
        self._validity = 0
        self._names: dict[str, bytes] = {}

    def folders(self) -> tuple[list[Folder], list[Left]]:
        return self._steadily(self._folders)

    def _folders(self, client: imaplib.IMAP4) -> tuple[list[Folder], list[Left]]:
        prefix = _personal_prefix(client)
        found = listed(_data(client.list('""', '"*"')))
        subscribed = {each.name for each in listed(_data(client.lsub('""', '"*"')))}
        listed_folders = []
        for each in sorted(found, key=lambda each: each.name):
            if each.attributes & _NO_MAILBOX:
                continue
            place = each.name.decode("utf-8", "surrogateescape")
            self._names[place] = each.name
            uses = [_SPECIAL_USES[use] for use in each.attributes if use in _SPECIAL_USES]
            listed_folders.append(Folder(_levels(each, prefix), place, next(iter(uses), None), each.name in subscribed))
        if not listed_folders:
            raise SourceError(f"{self._login.host}: the account has no mailbox")
        # INBOX need be on no list of subscriptions to be seen.
        return [
            Folder(each.levels, each.place, each.special_use, True) if each.levels == (INBOX,) else each
            for each in listed_folders
        ], []

    def items(self, folder: Folder) -> tuple[list[Item], list[Left]]:
        try:
            return self._steadily(lambda client: self._items(client, folder)), []
        except imaplib.IMAP4.error as error:
            return [], [Left(folder.place, f"the server refuses it: {error}")]

    def _items(self, client: imaplib.IMAP4, folder: Folder) -> list[Item]:
        messages = self._select(client, folder)
        found: list[Item] = []
        for start in range(1, messages + 1, _WINDOW):
            # By number, for UIDs may be far apart; nothing is expunged while we do not ask for anything else.
            numbers = f"{start}:{min(start + _WINDOW - 1, messages)}"
            for each in fetched(_data(client.fetch(numbers, "(UID RFC822.SIZE)"))):
                if each.uid is not None:
                    key = self._validity.to_bytes(4, "big") + each.uid.to_bytes(4, "big")
                    found.append(Item(key, each.octets or 1, f"{folder.place}: UID {each.uid}", each.uid))
        return sorted(found, key=lambda item: int(item.handle))

    def load(self, folder: Folder, items: Sequence[Item]) -> list[Loaded | Left]:
        try:
            return self._steadily(lambda client: self._load(client, folder, items))
        except imaplib.IMAP4.error as error:
            if len(items) == 1:
                return [Left(items[0].place, f"the server refuses it: {error}")]
        # One of them is not to be had: each by itself.
        return [answer for item in items for answer in self.load(folder, [item])]

    def _load(self, client: imaplib.IMAP4, folder: Folder, items: Sequence[Item]) -> list[Loaded | Left]:
        if self._selected != folder.place:
            self._select(client, folder)
        if items[0].key[:4] != self._validity.to_bytes(4, "big"):
            raise SourceError(f"{folder.place}: the server has numbered it anew (UIDVALIDITY); run the import again")
        uids = ",".join(str(item.handle) for item in items)
        data = _data(client.uid("FETCH", uids, "(UID FLAGS INTERNALDATE BODY.PEEK[])"))
        by_uid = {each.uid: each for each in fetched(data) if each.body is not None}
        done: list[Loaded | Left] = []
        for item in items:
            each = by_uid.get(item.handle)
            if each is None or each.body is None:
                continue  # expunged meanwhile
            moment_us = each.internaldate_us if each.internaldate_us is not None else time.time_ns() // 1000
            done.append(Loaded(item, each.body, kept_flags(each.flags), moment_us))
        return done

    def close(self) -> None:
        client, self._client, self._selected = self._client, None, None
        if client is not None:
            try:
                client.logout()
            except (imaplib.IMAP4.error, OSError):
                client.shutdown()

    def _select(self, client: imaplib.IMAP4, folder: Folder) -> int:
        """EXAMINE the folder; how many messages it has."""
        self._selected = None
        name: Any = quoted(self._names[folder.place])
        (messages,) = _data(client.select(name, readonly=True))
        (validity,) = client.response("UIDVALIDITY")[1]
        if validity is None:
            raise SourceError(f"{self._login.host}: the server tells no UIDVALIDITY, so nothing tells messages apart")
        self._selected, self._validity = folder.place, int(validity)
        return int(messages or 0)

    def _steadily(self, work: Callable[[imaplib.IMAP4], T]) -> T:
        """What `work` makes of the connection; once more on a new one where it breaks. Raises SourceError."""
        for attempt in range(1, _TRIES + 1):
            try:
                if self._client is None:
                    self._client = self._connected()
                return work(self._client)
            except (imaplib.IMAP4.abort, OSError) as error:
                self.close()
                if attempt == _TRIES or isinstance(error, ssl.SSLCertVerificationError):
                    raise SourceError(f"{self._login.host}:{self._login.port}: {_reason(error)}") from None
            self._pause(2.0**attempt)
        raise AssertionError("not reached")

    def _connected(self) -> imaplib.IMAP4:
        login = self._login
        context = ssl.create_default_context(cafile=login.ca_file)
        if not login.verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        client: imaplib.IMAP4
        if login.tls == "implicit":
            client = imaplib.IMAP4_SSL(login.host, login.port, ssl_context=context, timeout=_ANSWER_SECONDS)
        else:
            client = imaplib.IMAP4(login.host, login.port, timeout=_ANSWER_SECONDS)
        try:
            if login.tls == "starttls":
                client.starttls(context)
            self._authenticate(client)
        except BaseException:
            client.shutdown()
            raise
        return client

    def _authenticate(self, client: imaplib.IMAP4) -> None:
        user, password = self._login.user, self._login.password
        try:
            if "AUTH=PLAIN" in client.capabilities:
                client.authenticate("PLAIN", lambda _: f"\0{user}\0{password}".encode())
            else:
                client.login(quoted(user.encode()).decode(), password)
        except imaplib.IMAP4.abort:
            raise
        except imaplib.IMAP4.error as error:
            raise SourceError(f"{self._login.host}: the login as {user} was refused: {_reason(error)}") from None
        except UnicodeEncodeError:
            raise SourceError(f"{self._login.host}: a password that is not ASCII needs AUTH=PLAIN there") from None


def _data(answer: tuple[str, list[Any]]) -> list[Any]:
    """The data of an answer that says OK. Raises imaplib.IMAP4.error, with the server's words."""
    status, data = answer
    if status != "OK":
        text = data[-1] if data else b""
        raise imaplib.IMAP4.error(text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text))
    return data


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused ({error.verify_message}); name the right host, or give --ca-file"
    if isinstance(error, TimeoutError):
        return f"no answer within {_ANSWER_SECONDS:.0f} s"
    text = error.args[0] if error.args else error
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(error)
    return " ".join(words.split())[:300]


def _personal_prefix(client: imaplib.IMAP4) -> bytes:
    """What the names of the user's own mailboxes begin with (RFC 2342): "INBOX." at some, else nothing."""
    # Asked again: before the login some servers tell only of what can be used before it.
    if b"NAMESPACE" not in b" ".join(_data(client.capability())).upper().split():
        return b""
    (line,) = _data(client.namespace())
    # ((("INBOX." ".")) NIL NIL): the first string is the prefix.
    if not isinstance(line, bytes) or not line.startswith(b'(("'):
        return b""
    return line[3:].partition(b'"')[0]


def _levels(mailbox: Listed, prefix: bytes) -> tuple[str, ...]:
    name = mailbox.name
    if prefix and not is_inbox(name.decode("latin-1")):
        name = name.removeprefix(prefix)
    text = name.decode("utf-8", "surrogateescape")
    levels = text.split(mailbox.delimiter) if mailbox.delimiter else [text]
    read = tuple(folders.read(level) for level in levels)
    return (INBOX, *read[1:]) if is_inbox(read[0]) else read
