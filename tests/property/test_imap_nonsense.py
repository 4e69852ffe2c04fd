"""Whatever a client sends is answered: never by an internal error, never by silence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lightmail.config import LimitsConfig
from lightmail.imap.table import COMMANDS
from tests.support.imapworld import ImapWorld
from tests.support.transcript import Connection

_WAITING = {b"IDLE", b"LOGOUT", b"STARTTLS", b"AUTHENTICATE"}

names = st.sampled_from(sorted(COMMANDS.keys() - _WAITING))
ARGUMENTS = rb"""
INBOX inbox/% "" * % 1 1:* 4294967295 0 2:1,* (FLAGS) BODY[] BODY[1.2.MIME] BODY[TEXT]<5.4294967295> BODY[HEADER]<0.0>
ENVELOPE BODYSTRUCTURE ALL FULL FLAGS +FLAGS -FLAGS.SILENT () (\Seen) (\Recent) (\Novel) $Junk NOT OR UNSEEN KEYWORD x
HEADER Subject FROM a TEXT SINCE 1-Feb-1994 1-Feb-0000 LARGER 9999999999 CHARSET UTF-8 KOI-8 UID (UNSEEN) (NOVEL) &AOk-
( ) ((( NIL "yesterday" RETURN (SPECIAL-USE) [ ] < > \ & ((((((((((((((((((((((((((((((((((((((((ALL))))))))))
""".split()
arguments = (
    st.sampled_from(ARGUMENTS)
    | st.sampled_from(
        [b"BODY[HEADER.FIELDS (To Subject)]<0.9>", b"(MESSAGES UNSEEN)", b"(USE (\\Sent))", b"(UID BODY[])"]
    )
    | st.sampled_from([b"{3+}\r\nabc", b"{0+}\r\n", b"{5+}\r\nINBOX", b"{4+}\r\na\0\r\n", b'"\xc3\xa9"'])
    | st.binary(max_size=8).map(lambda octets: octets.replace(b"\n", b"").replace(b"{", b""))
)


@st.composite
def commands(draw: st.DrawFn) -> bytes:
    """A command that may even be right."""
    words = [draw(names), *draw(st.lists(arguments, max_size=6))]
    return b"t " + b" ".join(words)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Connection]:
    limits = replace(LimitsConfig(), bad_commands=100_000)
    world = ImapWorld(tmp_path_factory.mktemp("imap"), limits=limits).open()
    world.add_account("alice@example.org", "secret")
    client = Connection(world.port)
    client.send(b"a LOGIN alice@example.org secret\r\na APPEND INBOX {18+}\r\nSubject: hi\r\n\r\nhi\n\r\n")
    yield client
    client.close()
    world.close()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(commands(), min_size=1, max_size=5))
def test_nonsense_is_answered(client: Connection, script: list[bytes]) -> None:
    client.send(b"s SELECT INBOX\r\n" + b"\r\n".join(script) + b"\r\nend NOOP\r\n")
    tagged = 0
    while not (line := client.line()).startswith(b"end "):
        assert b"SERVERBUG" not in line
        tagged += line.startswith((b"t OK", b"t NO", b"t BAD"))
    assert line.startswith(b"end OK")
    assert tagged >= len(script)
