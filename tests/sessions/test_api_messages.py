"""The endpoints of mailboxes and messages, over a loopback connection."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

import pytest
from twisted.logger import capturedLogs, formatEvent

from lightmail.model import Account, MailboxId
from lightmail.objects.spool import Spools
from lightmail.operations.append import NewMessage, append
from lightmail.operations.domains import add_domain
from lightmail.web.api.content import TEXT_OCTETS
from lightmail.web.api.scopes import Scope
from tests.support.actors import OPERATOR
from tests.support.apikit import TOKEN, Answer, Api, serve_api
from tests.support.bulkmail import fill
from tests.support.reactor import run
from tests.support.storekit import NOW_US, Store, fresh_config, open_store

PLAIN = b"From: Ada <ada@example.net>\r\nTo: b@example.org\r\nSubject: Tea\r\nMessage-ID: <1@x>\r\n\r\nAt five.\r\n"


@dataclass
class World:
    """The API over a store, and how messages with content come into it."""

    api: Api
    store: Store

    def put(self, account: Account, text: bytes, mailbox: str = "INBOX", flags: tuple[bytes, ...] = ()) -> int:
        """Append a message with an object; its id."""
        box = self.store.mailbox(account, mailbox).id
        run(self._put(account, box, text, flags))
        return self.store.count("SELECT MAX(id) FROM messages WHERE mailbox = %s", box)

    async def _put(self, account: Account, box: MailboxId, text: bytes, flags: tuple[bytes, ...]) -> None:
        spools = Spools(self.api.services.pool, None)
        spool = spools.new()
        try:
            spool.write(text)
            if spool.needs_flush:
                await spool.flush()
            stored = await self.api.services.blobs.write(spool, internaldate_us=NOW_US, owners=[(account.uuid, box)])
        finally:
            spool.close()
        await append(self.store.tx, account, box, [NewMessage(stored, flags, NOW_US)])

    def box(self, account: Account, name: str = "INBOX") -> int:
        return self.store.mailbox(account, name).id

    def views(self, account: Account) -> int:
        """How often a message's content was looked at."""
        sql = "SELECT COUNT(*) FROM audit_log WHERE action = %s AND subject = %s"
        return self.store.count(sql, b"message.view", account.address.encode())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("rows")
    with fresh_config("sqlite", directory) as config, open_store(config) as store, serve_api(store) as api:
        yield World(api, store)


def items(answer: Answer) -> list[dict[str, Any]]:
    assert answer.status == 200, answer
    found: list[dict[str, Any]] = answer.json["items"]
    return found


def test_a_message_by_its_id(world: World) -> None:
    account = world.store.account()
    id_ = world.put(account, PLAIN, flags=(b"\\Flagged", b"work"))
    shown = world.api.get(f"/admin/messages/{id_}").json
    assert shown.pop("saved_at") > shown["date"]
    assert shown.pop("trace") == ""
    assert shown == {
        "id": id_,
        "uid": 1,
        "mailbox_id": world.box(account),
        "subject": "Tea",
        "sender": "Ada <ada@example.net>",
        "size": len(PLAIN),
        "date": "2023-11-14T22:13:20.000Z",
        "flags": ["\\Flagged", "work"],
        "deleted_at": None,
        "withheld": False,
        "account_id": account.id,
        "address": account.address,
        "mailbox": "INBOX",
        "to": "b@example.org",
        "cc": "",
        "message_id": "<1@x>",
        "parts": [{"part": "1", "media_type": "text/plain", "size": 10}],
    }
    (listed,) = items(world.api.get(f"/admin/mailboxes/{shown['mailbox_id']}/messages"))
    assert listed == {name: shown[name] for name in listed}
    assert items(world.api.get(f"/admin/accounts/{account.id}/messages")) == [listed]


def test_what_strangers_write_is_one_line(world: World) -> None:
    account = world.store.account()
    header = b"From: =?utf-8?q?a=0D=0AX=3A_=00=E2=80=A8?= <a@b>\r\nFrom: second\r\nSubject: " + b"x" * 3000
    id_ = world.put(account, header + b"\r\n\r\n")
    shown = world.api.get(f"/admin/messages/{id_}").json
    assert shown["sender"].isprintable() or "\ufffd" in shown["sender"]
    assert not set(shown["sender"]) & set("\r\n\0\u2028")
    assert len(shown["subject"]) == 1000


def test_raw_is_the_message_octet_for_octet(world: World) -> None:
    account = world.store.account()
    text = PLAIN + b"\x00\xff" * 1_500_000
    id_ = world.put(account, text)
    answer = world.api.get(f"/admin/messages/{id_}/raw")
    assert (answer.status, answer.headers["content-type"]) == (200, "message/rfc822")
    assert answer.headers["content-length"] == str(len(text))
    assert f'filename="{id_}.eml"' in answer.headers["content-disposition"]
    assert answer.octets == text
    assert world.views(account) == 1


def test_a_client_that_leaves_midway_takes_nothing_with_it(world: World) -> None:
    account = world.store.account()
    id_ = world.put(account, PLAIN + os.urandom(8 << 20))
    with socket.create_connection(("127.0.0.1", world.api.port)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        request = f"GET /admin/messages/{id_}/raw HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        client.sendall(request.encode())
        assert client.recv(12) == b"HTTP/1.1 200"
        with capturedLogs() as logged:
            client.close()
            while not any("/raw" in formatEvent(event) for event in logged):
                assert world.api.get("/health").octets == b"OK"
    assert not [event for event in logged if "log_failure" in event]
    (noted,) = [formatEvent(event) for event in logged if "/raw" in formatEvent(event)]
    assert noted.endswith(f"GET /admin/messages/{id_}/raw 499")


def test_a_damaged_object_is_a_problem_and_no_half_of_a_message(world: World) -> None:
    account = world.store.account()
    id_ = world.put(account, PLAIN)
    world.store.execute(
        "UPDATE objects SET object_key = %s WHERE id = (SELECT object FROM messages WHERE id = %s)",
        f"emails/00/gone-{id_}.eml".encode(),
        id_,
    )
    for view in ("raw", "text"):
        answer = world.api.get(f"/admin/messages/{id_}/{view}")
        assert (answer.status, answer.code) == (500, "object_missing")
        assert "content-disposition" not in answer.headers


def multipart(*parts: tuple[str, str]) -> bytes:
    """A message with attachments of text only."""
    message = EmailMessage()
    message["Subject"] = "parts"
    for kind, text in parts:
        message.add_attachment(text, subtype=kind, charset="utf-8", cte="base64")
    return bytes(message).replace(b"\n", b"\r\n")


def test_the_text_of_a_message(world: World) -> None:
    account = world.store.account()
    id_ = world.put(account, PLAIN)
    shown = {"part": "1", "media_type": "text/plain", "text": "At five.\n", "truncated": False}
    assert world.api.get(f"/admin/messages/{id_}/text").json == shown
    assert world.views(account) == 1
    html = "<script>alert(1)</script>"
    found = world.api.get(f"/admin/messages/{world.put(account, multipart(('html', html)))}/text").json
    assert (found["media_type"], found["text"].strip()) == ("text/html", html)
    both = multipart(("html", html), ("plain", "grün\x07\n"))
    found = world.api.get(f"/admin/messages/{world.put(account, both)}/text").json
    assert (found["media_type"], found["text"].strip()) == ("text/plain", "grün\ufffd")
    none = b"Content-Type: image/png\r\n\r\nx"
    found = world.api.get(f"/admin/messages/{world.put(account, none)}/text").json
    assert found == {"part": None, "media_type": None, "text": "", "truncated": False}
    id_ = world.put(account, b"\r\n" + b"y" * TEXT_OCTETS + b"z")
    long = world.api.get(f"/admin/messages/{id_}/text").json
    assert (long["text"], long["truncated"]) == ("y" * TEXT_OCTETS, True)


def test_mailboxes(world: World) -> None:
    account = world.store.account()
    path = f"/admin/accounts/{account.id}/mailboxes"
    made = world.api.post(path, {"name": "Work/é/", "special_use": "\\Archive"})
    assert made.status == 201
    assert {name: made.json[name] for name in ("account_id", "name", "special_use", "messages", "octets")} == {
        "account_id": account.id,
        "name": "Work/é",
        "special_use": "\\Archive",
        "messages": 0,
        "octets": 0,
    }
    one = f"/admin/mailboxes/{made.json['id']}"
    assert world.api.get(one).json == made.json
    again = world.api.post(path, {"name": "Work/é"})
    assert (again.status, again.code) == (409, "mailbox_exists")
    odd = world.api.post(path, {"name": "a//b"})
    assert (odd.status, odd.json["field"]) == (422, "name")
    unknown = world.api.post(path, {"name": "x", "special_use": "\\All"})
    assert (unknown.status, unknown.json["field"]) == (422, "special_use")
    first = world.api.get(path, {"limit": 3}).json
    rest = world.api.get(path, {"limit": 100, "cursor": first["next_cursor"]}).json
    names = [each["name"] for each in first["items"] + rest["items"]]
    assert (names, rest["next_cursor"], rest["total"]) == (world.store.names(account), None, len(names))
    assert world.api.delete(one).status == 204
    assert world.api.delete(one).code == "no_such_mailbox"
    inbox = world.api.delete(f"/admin/mailboxes/{world.box(account)}")
    assert (inbox.status, inbox.code) == (409, "cannot")


def test_a_cursor_has_room_for_any_name(world: World) -> None:
    account = world.store.account()
    path = f"/admin/accounts/{account.id}/mailboxes"
    long = ["日" * 333, "é" * 500, "z" * 1000, "\U0001f4e7" * 250]
    for name in long:
        assert world.api.post(path, {"name": name}).status == 201
    walked: list[str] = []
    cursor = None
    while cursor is not None or not walked:
        page = world.api.get(path, {"limit": 1, **({"cursor": cursor} if cursor else {})}).json
        walked += [each["name"] for each in page["items"]]
        cursor = page["next_cursor"]
    assert walked == world.store.names(account)
    assert set(long) < set(walked)


def test_pages_of_a_mailbox(world: World) -> None:
    account = world.store.account()
    box = world.box(account)
    fill(world.store, account, MailboxId(box), 120)
    path = f"/admin/mailboxes/{box}/messages"
    first = world.api.get(path).json
    assert [each["uid"] for each in first["items"]] == list(range(120, 70, -1))
    assert first["total"] == 120
    assert [each["uid"] for each in items(world.api.get(path, {"limit": 10, "offset": 115}))] == [5, 4, 3, 2, 1]
    second = world.api.get(path, {"cursor": first["next_cursor"]}).json
    assert [each["uid"] for each in second["items"]] == list(range(70, 20, -1))
    found = items(world.api.get(path, {"sender": "andré no. 11", "since": "2023-11-15T00:09:00Z"}))
    assert [each["uid"] for each in found] == [119, 118, 117, 116]
    assert found[0]["subject"] == "Bericht Nr. 119 über die Woche"
    refused = world.api.get(path, {"subject": "x", "offset": 5})
    assert (refused.status, refused.json["field"]) == (422, "offset")
    refused = world.api.get(path, {"deleted_since": "2026-01-01T00:00:00Z"})
    assert (refused.status, refused.json["field"]) == (422, "deleted_since")


def test_delete_restore_copy_move(world: World) -> None:
    account = world.store.account()
    id_ = world.put(account, PLAIN)
    box, archive = world.box(account), world.box(account, "Archive")
    one = f"/admin/messages/{id_}"
    copied = world.api.post(f"{one}/copy", {"dest_mailbox_id": archive})
    assert copied.status == 200
    assert copied.json["mailbox_id"] == archive
    assert [each["id"] for each in items(world.api.get(f"/admin/mailboxes/{archive}/messages"))] == [
        copied.json["new_id"]
    ]
    assert world.api.delete(one).status == 204
    assert items(world.api.get(f"/admin/mailboxes/{box}/messages")) == []
    (gone,) = items(world.api.get(f"/admin/mailboxes/{box}/messages", {"deleted": "true"}))
    assert (gone["id"], gone["deleted_at"] is not None) == (id_, True)
    assert (world.api.delete(one).status, world.api.delete(one).code) == (409, "cannot")
    back = world.api.post(f"{one}/restore")
    assert (back.status, back.json["mailbox_id"]) == (200, box)
    assert world.api.post(f"{one}/restore").code == "no_such_message"
    moved = world.api.post(f"/admin/messages/{back.json['new_id']}/move", {"dest_mailbox_id": archive})
    assert moved.json["uid"] == 2
    assert world.api.get(f"/admin/messages/{moved.json['new_id']}/raw").octets == PLAIN
    lost = world.api.post(f"/admin/messages/{moved.json['new_id']}/copy", {"dest_mailbox_id": 1 << 60})
    assert (lost.status, lost.code) == (404, "no_such_destination")
    assert world.api.post(f"{one}/copy", {}).json["field"] == "dest_mailbox_id"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/admin/mailboxes/{box}"),
        ("GET", "/admin/mailboxes/{box}/messages"),
        ("GET", "/admin/accounts/{account}/mailboxes"),
        ("GET", "/admin/accounts/{account}/messages"),
        ("GET", "/admin/messages/{id}"),
        ("GET", "/admin/messages/{id}/raw"),
        ("GET", "/admin/messages/{id}/text"),
        ("DELETE", "/admin/messages/{id}"),
        ("DELETE", "/admin/mailboxes/{box}"),
        ("POST", "/admin/messages/{id}/restore"),
    ],
)
def test_another_domain_has_nothing_and_learns_nothing(world: World, method: str, path: str) -> None:
    account = world.store.account()
    id_ = world.put(account, PLAIN)
    token = world.api.token(domain=run(add_domain(world.store.tx, OPERATOR, f"d{account.id}.example")))
    there = {"box": world.box(account), "account": account.id, "id": id_}
    answers = [
        world.api.request(method, path.format(**ids), token=token) for ids in (there, dict.fromkeys(there, 1 << 50))
    ]
    assert [answer.status for answer in answers] == [404, 404]
    said = [{name: value for name, value in answer.json.items() if name != "request_id"} for answer in answers]
    assert said[0] == said[1]
    assert world.views(account) == 0
    assert world.api.get(f"/admin/messages/{id_}").status == 200


def test_content_has_a_scope_of_its_own(world: World) -> None:
    account = world.store.account()
    id_ = world.put(account, PLAIN)
    reader = world.api.token(Scope.MESSAGES_READ)
    assert world.api.get(f"/admin/messages/{id_}", token=reader).status == 200
    for view in ("raw", "text"):
        assert world.api.get(f"/admin/messages/{id_}/{view}", token=reader).status == 403
    assert world.views(account) == 0
