"""The reactor's thread touches no file while the server serves: whatever could block it runs in other threads."""

from __future__ import annotations

import imaplib
import os
import poplib

from tests.faults.test_memory import append, deliver, fetch, retrieve
from tests.integration.servers import HOST, ROOT, MailServer

USER = "ada@example.org"
OCTETS = 3 << 20  # beyond what a spool keeps in memory


def serve(server: MailServer) -> None:
    """Something of everything."""
    for way in (deliver, append, fetch, retrieve):
        way(server, OCTETS)
    with imaplib.IMAP4(HOST, server.imap, timeout=60) as client:
        client.login(USER, "secret")
        client.create("Other")
        client.select("INBOX")
        client.fetch("1:*", "(UID FLAGS ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER])")
        client.search(None, "TEXT", "nowhere")
        client.store("1:*", "+FLAGS", "(\\Deleted new)")
        client.copy("1:*", "Other")
        client.expunge()
    client = poplib.POP3(HOST, server.pop3, timeout=60)
    client.user(USER)
    client.pass_("secret")
    client.quit()
    assert server.get("/metrics")[0] == 200


def test_the_reactor_thread_touches_no_file(server):
    audit = server.directory / "audit"
    watched = os.pathsep.join([str(ROOT / "tests" / "support" / "audit"), str(ROOT)])
    server.launch(PYTHONPATH=watched, AUDIT_FILE=str(audit))
    server.wait_until_ready()
    started = audit.read_text(errors="replace")
    assert str(server.config) in started, "the hook hears nothing"
    serve(server)
    since = audit.read_text(errors="replace")[len(started) :]
    # What the metrics read below /proc is no disk.
    assert [line for line in since.splitlines() if "'/proc/" not in line] == []
    assert server.stop() == 0
