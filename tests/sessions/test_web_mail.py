"""The pages of mailboxes, messages and deleted mail: what they show, to whom, and that it harms nobody."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from urllib.parse import unquote

import pytest

from lightmail.config.sections import ImapConfig
from lightmail.mime.transfer import Decoder
from lightmail.model import Account
from lightmail.operations import admin_mailboxes
from lightmail.web.api.content import TEXT_OCTETS
from lightmail.web.downloads import disposition, file_name
from lightmail.web.pages.sanitising import POLICY
from lightmail.web.pages.table import VIEWS
from lightmail.web.pages.views import View
from tests.support import payloads, visitors
from tests.support.actors import OPERATOR
from tests.support.apikit import Api, serve_api
from tests.support.apiworld import put_message
from tests.support.browser import Browser, Form, Page
from tests.support.bulkmail import fill
from tests.support.jobkit import leaving_to_jobs, running_jobs
from tests.support.reactor import run
from tests.support.storekit import fresh_config, open_store

PLAIN = b"From: Ada <ada@example.net>\r\nTo: b@example.org\r\nSubject: Tea\r\nMessage-ID: <1@x>\r\n\r\nAt five.\r\n"
OF_MAIL = [view for view in VIEWS if view.path.startswith(("/web/messages/", "/web/mailboxes/"))]
OF_DELETED = [view for view in VIEWS if view.path.startswith("/web/accounts/{id}/deleted")]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with (
        fresh_config("sqlite", tmp_path_factory.mktemp("store")) as config,
        open_store(config) as store,
        serve_api(store, pages=True, imap=ImapConfig()) as serving,
    ):
        yield serving


@pytest.fixture(scope="module")
def root(api: Api) -> Browser:
    return visitors.keeper(api)


@dataclass
class Owned:
    """An account, and its INBOX."""

    api: Api
    account: Account
    domain: int
    inbox: int

    @property
    def base(self) -> str:
        return f"/web/accounts/{self.account.id}"

    def put(self, text: bytes = PLAIN, mailbox: int = 0) -> int:
        return put_message(self.api, self.account.id, mailbox or self.inbox, text)

    def box(self, name: str) -> int:
        return run(admin_mailboxes.add(self.api.store.tx, OPERATOR, self.account.id, name))

    def live(self) -> int:
        return self.api.store.count(
            "SELECT COUNT(*) FROM messages WHERE account = %s AND deleted_at = 0", self.account.id
        )

    def audited(self) -> list[tuple[str, dict[str, object]]]:
        """What was done to messages: the action, and what is told of it."""
        sql = "SELECT action, detail FROM audit_log WHERE subject = %s ORDER BY id"
        rows = self.api.store.rows(sql, self.account.address.encode())
        return [(action.decode(), json.loads(detail)) for action, detail in rows if action.startswith(b"message.")]


@pytest.fixture
def owned(api: Api) -> Owned:
    domain, name = visitors.domain(api)
    account = visitors.account(api, name)
    return Owned(api, account, domain, api.store.mailbox(account).id)


def press(browser: Browser, path: str, action: str, **values: str) -> Page:
    """Send a form of the page at `path`."""
    return browser.send(browser.get(path).form(action), **values)


def check_harmless(page: Page) -> None:
    """No element of a page comes from anybody but us."""
    for tag, given in page.elements:
        assert tag != "style"
        assert tag != "script" or str(given.get("src")).startswith("/web/static/")
        assert not any(name.startswith("on") or name == "style" for name in given), given
        for name in ("src", "href", "action", "formaction"):
            assert str(given.get(name) or "/").startswith(("/", "#")), given


# --- who sees what ---


@pytest.mark.parametrize("view", [*OF_MAIL, *OF_DELETED], ids=lambda view: f"{view.method} {view.path}")
@pytest.mark.parametrize("whose", ["another's", "nobody's", "no id", "too long"])
def test_of_other_domains_mail_there_is_nothing(api: Api, owned: Owned, view: View, whose: str) -> None:
    own, _ = visitors.domain(api)
    message, other = owned.put(), owned.box("Other")
    browser = visitors.keeper(api, own)
    if view.path.endswith("restore"):
        run_delete(owned, message)
    before = (owned.live(), owned.audited())
    real = message if "messages" in view.path else owned.inbox if "mailboxes" in view.path else owned.account.id
    id = {"another's": str(real), "nobody's": "987654321", "no id": "%00", "too long": "9" * 30}[whose]
    token = browser.get("/web/").form("/web/sign-out").fields["form_token"]
    form = {"form_token": token, "mailbox": str(other), f"chosen-{message}": "on"} if view.method == "POST" else None
    assert browser.request(view.method, view.path.format(id=id, part="1", uid="1"), form).status == 404
    assert (owned.live(), owned.audited()) == before


def run_delete(owned: Owned, message: int) -> None:
    assert owned.api.delete(f"/admin/messages/{message}").status == 204


def test_the_administrator_of_several_domains_reads_in_all_of_them(api: Api, owned: Owned) -> None:
    first, _ = visitors.domain(api)
    browser = visitors.keeper(api, first, owned.domain)
    message = owned.put()
    assert "At five." in browser.get(f"/web/messages/{message}").text
    assert "is deleted" in press(browser, f"/web/messages/{message}", f"/web/messages/{message}/delete").text
    assert "is restored" in press(browser, f"/web/messages/{message}", f"/web/messages/{message}/restore").text


# --- lists ---


def test_from_an_account_to_its_mailboxes_to_a_message(api: Api, root: Browser, owned: Owned) -> None:
    message = owned.put()
    owned.box("Work/2026 <b>")
    page = root.get(owned.base)
    assert f"{owned.base}/mailboxes" in page.links
    page = root.get(f"{owned.base}/mailboxes")
    assert "Work/2026 <b>" in page.text
    assert f"/web/mailboxes/{owned.inbox}" in page.links
    page = root.get(f"/web/mailboxes/{owned.inbox}")
    assert "Ada <ada@example.net>" in page.text
    assert f"/web/messages/{message}" in page.links
    assert root.get(f"{owned.base}/messages").links.count(f"/web/messages/{message}") == 1
    assert owned.audited() == []  # a list says nothing of the content


def test_lists_go_on_page_by_page_and_search(api: Api, root: Browser, owned: Owned) -> None:
    fill(api.store, owned.account, owned.inbox, 120)
    path = f"/web/mailboxes/{owned.inbox}"
    assert "1 to 50 of 120" in root.get(path).text
    page = root.get(f"{path}?page=3")
    assert "101 to 120 of 120" in page.text
    assert "Bericht Nr. 1 über die Woche" in page.text
    found = root.get(f"{path}?sender=no.+77")
    assert "Bericht Nr. 77 über" in found.text
    assert "Bericht Nr. 78 über" not in found.text
    assert "No message here is like that." in root.get(f"{path}?subject=nonsense").text
    whole = root.get(f"{path}?subject=bericht")
    (onward,) = [link for link in whole.links if "after=" in link]
    assert "Bericht Nr. 120 über" in whole.text
    following = root.get(onward)
    assert "Bericht Nr. 70 über" in following.text
    assert f"{path}?subject=bericht" in following.links
    assert "Bericht Nr. 71 über" not in following.text
    assert "Bericht" not in root.get(f"{path}?until=2023-11-13").text
    assert "1 to 50" in root.get(f"{path}?since=2023-11-14&until=2023-11-15").text
    for wrong in ("since=x", "until=2026-02-30", "since=99999-01-01"):
        page = root.get(f"{path}?{wrong}")
        assert (page.status, "Enter a day such as" in page.text) == (422, True)
    for odd in ("after=x&subject=b", "after=1.99999999999999999999&subject=b", "page=0", "page=-1", "page=99999999"):
        assert root.get(f"{path}?{odd}").status == 200


def test_empty_lists_say_where_else_to_look(root: Browser, owned: Owned) -> None:
    page = root.get(f"/web/mailboxes/{owned.inbox}")
    assert "This mailbox is empty." in page.text
    assert f"{owned.base}/deleted" in page.links
    assert "no mail here yet" in root.get(f"{owned.base}/messages").text
    assert "there is nothing to restore" in root.get(f"{owned.base}/deleted").text


# --- one message ---

_MIXED = (
    b"From: Ada <ada@example.net>\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
    b'--b\r\nContent-Type: multipart/alternative; boundary="c"\r\n\r\n'
    b"--c\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    b"Sch=C3=B6n\r\n"
    b"--c\r\nContent-Type: text/html\r\n\r\n<b>Nice</b><script>x</script>\r\n--c--\r\n"
    b"--b\r\nContent-Type: text/plain; name=notes.txt\r\nContent-Disposition: attachment\r\n\r\nNotes\r\n"
    b"--b\r\nContent-Type: application/pdf\r\n"
    b"Content-Disposition: attachment; filename*=utf-8''%C3%BCber%20alles.pdf\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\nJVBERi0x\r\nLjQ=\r\n"
    b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: within\r\n\r\nText within\r\n--b--\r\n"
)


def test_a_message_shows_its_text_and_who_looked_is_noted(api: Api, owned: Owned) -> None:
    message = owned.put(_MIXED)
    browser = visitors.keeper(api, owned.domain)
    page = browser.get(f"/web/messages/{message}")
    assert "Schön" in page.text
    assert "Grüße" in page.text
    assert "Nice" not in page.text
    for name in ("notes.txt", "über alles.pdf", "part-4.eml"):
        assert name in page.text
    assert "Text within" not in page.text
    assert "iframe" not in page.html
    page = browser.get(f"/web/messages/{message}?view=html")
    (frame,) = [given for tag, given in page.elements if tag == "iframe"]
    assert (frame["sandbox"], frame["src"]) == ("", f"/web/messages/{message}/html")
    browser.get(f"/web/messages/{message}/parts/3")
    browser.get(f"/web/messages/{message}/raw")
    browser.get(str(frame["src"]))
    assert [what["what"] for action, what in owned.audited() if action == "message.view"] == [
        "text", "text", "part 3", "raw", "html",
    ]  # fmt: skip


def test_parts_and_the_whole_are_downloads(api: Api, root: Browser, owned: Owned) -> None:
    message = owned.put(_MIXED)
    for part, name, octets in (
        ("3", "%C3%BCber%20alles.pdf", b"%PDF-1.4"),
        ("2", "notes.txt", b"Notes"),
        ("4", "part-4.eml", b"Subject: within\r\n\r\nText within"),
        ("1.2", "part-1.2.html", b"<b>Nice</b><script>x</script>"),
    ):
        answer = root.request("GET", f"/web/messages/{message}/parts/{part}")
        assert (answer.status, answer.html.encode()) == (200, octets)
        assert answer.headers["content-disposition"].endswith(f"filename*=UTF-8''{name}")
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-security-policy"] == "sandbox; default-src 'none'"
    answer = root.request("GET", f"/web/messages/{message}/raw")
    assert answer.html.encode() == _MIXED
    assert answer.headers["content-length"] == str(len(_MIXED))
    assert 'filename="message-' in answer.headers["content-disposition"]
    for part in ("1", "9", "1.2.3", "x", "%00", ".", "2" * 200):
        assert root.request("GET", f"/web/messages/{message}/parts/{part}").status == 404
    assert root.request("GET", f"/web/messages/{owned.put()}/html").status == 404
    assert root.request("HEAD", f"/web/messages/{message}/raw").status == 200


def test_a_large_part_comes_whole(api: Api, root: Browser, owned: Owned) -> None:
    text = b"".join(b"line %d of many\r\n" % n for n in range(200_000))
    message = owned.put(b"Subject: big\r\nContent-Type: text/plain; name=big.txt\r\n\r\n" + text)
    assert root.request("GET", f"/web/messages/{message}/parts/1").html.encode() == text
    message = owned.put(b"Subject: big\r\n\r\n" + text)
    page = root.get(f"/web/messages/{message}")
    assert "There is more of it: download the message." in page.text
    assert len(page.html) < 2 * TEXT_OCTETS


def test_html_alone_is_shown_as_text(root: Browser, owned: Owned) -> None:
    message = owned.put(payloads.html_mail("<style>x</style><p>One<br>two &lt;b&gt;</p><script>x</script>"))
    page = root.get(f"/web/messages/{message}")
    assert "One\ntwo <b>" in "".join(page._text)
    assert "HTML only" in page.text
    framed = root.request("GET", f"/web/messages/{message}/html")
    assert "<p>One<br>two &lt;b&gt;</p>" in framed.html


def test_a_message_that_cannot_be_read_says_so(api: Api, root: Browser, owned: Owned) -> None:
    message = owned.put()
    sql = "UPDATE objects SET object_key = %s WHERE id = (SELECT object FROM messages WHERE id = %s)"
    api.store.execute(sql, b"emails/00/gone.eml.zst", message)
    page = root.get(f"/web/messages/{message}")
    assert page.status == 200
    assert "Tea" in page.text
    assert "lightmail verify" in page.text
    assert root.request("GET", f"/web/messages/{message}/raw").status == 500


def test_a_message_is_moved_copied_deleted_and_restored(api: Api, root: Browser, owned: Owned) -> None:
    message, other = owned.put(), owned.box("Other")
    here = f"/web/messages/{message}"
    page = root.get(here)
    copied = root.send(replace(page.form(f"{here}/move"), action=f"{here}/copy"), mailbox=str(other))
    assert "This is the copy of the message." in copied.text
    assert owned.live() == 2
    page = root.send(page.form(f"{here}/move"), mailbox=str(other))
    assert "The message is moved" in page.text
    assert "› Other" in page.text
    (action,) = [form.action for form in page.forms if form.action.endswith("/delete")]
    gone = root.send(page.form(action))
    assert "It can be restored under Deleted mail" in gone.text
    assert root.path.startswith(f"/web/mailboxes/{other}")
    page = root.get(action.removesuffix("/delete"))
    assert "This message was deleted" in page.text
    page = root.send(page.form(action.replace("/delete", "/restore")))
    assert "The message is restored" in page.text
    assert owned.live() == 2
    done = [action for action, _ in owned.audited() if action != "message.view"]
    assert done == ["message.copy", "message.move", "message.delete", "message.restore"]


def test_what_stands_in_the_way_is_said(api: Api, root: Browser, owned: Owned) -> None:
    message, other = owned.put(), owned.box("Other")
    _, name = visitors.domain(api)
    foreign = api.store.mailbox(visitors.account(api, name)).id
    here = f"/web/messages/{message}"
    form = root.get(here).form(f"{here}/move")
    for mailbox, status in (("x", 422), ("987654", 422), (str(foreign), 409)):
        page = root.send(form, mailbox=mailbox)
        assert (page.status, "trouble" in page.html) == (status, True)
    assert root.send(Form(form.action, "POST", {"form_token": form.fields["form_token"]})).status == 422
    api.store.execute("UPDATE accounts SET quota_messages = 1 WHERE id = %s", owned.account.id)
    page = root.send(replace(form, action=f"{here}/copy"), mailbox=str(other))
    assert (page.status, "The account is full." in page.text) == (409, True)
    assert "deleted already" in again_deleted(root, here).text


def again_deleted(browser: Browser, here: str) -> Page:
    form = browser.get(here).form(f"{here}/delete")
    browser.send(form)
    page = browser.send(form)
    assert page.status == 409
    return page


# --- what means harm ---


@pytest.mark.parametrize("name", payloads.HTML)
def test_html_that_means_harm_reaches_no_page(root: Browser, owned: Owned, name: str) -> None:
    message = owned.put(payloads.html_mail(payloads.HTML[name]))
    check_harmless(root.get(f"/web/messages/{message}"))
    check_harmless(root.get(f"/web/messages/{message}?view=html"))
    framed = root.request("GET", f"/web/messages/{message}/html")
    assert framed.headers["content-security-policy"] == POLICY
    assert framed.headers["x-dns-prefetch-control"] == "off"
    assert [tag for tag, _ in framed.elements[:6]] == ["html", "head", "meta", "title", "style", "body"]
    for tag, given in framed.elements[6:]:
        assert tag not in (
            "script",
            "style",
            "iframe",
            "form",
            "meta",
            "link",
            "svg",
            "math",
            "base",
            "object",
            "embed",
        )
        assert set(given) <= {"href", "rel", "alt", "start", "colspan", "rowspan", "dir", "lang"}


def test_headers_that_mean_harm_are_text(root: Browser, owned: Owned) -> None:
    message = owned.put(payloads.header_mail())
    for path in (f"/web/messages/{message}", f"/web/mailboxes/{owned.inbox}", f"{owned.base}/messages"):
        page = root.get(path)
        check_harmless(page)
        assert "set-cookie" not in page.headers
        assert "<script>" in page.text
    run_delete(owned, message)
    check_harmless(root.get(f"{owned.base}/deleted"))


def test_a_subject_without_end_is_cut_off(root: Browser, owned: Owned) -> None:
    message = owned.put(b"Subject: " + b"long\x01 " * 3000 + b"\r\n\r\nx\r\n")
    for path in (f"/web/messages/{message}", f"/web/mailboxes/{owned.inbox}"):
        page = root.get(path)
        assert "long\ufffd long" in page.text
        assert "…" in page.text
        assert "\x01" not in page.html
    assert len(root.get(f"/web/mailboxes/{owned.inbox}").html) < 10_000


@pytest.mark.parametrize("content_type", payloads.TYPES)
def test_no_type_makes_an_attachment_a_page(root: Browser, owned: Owned, content_type: str) -> None:
    message = owned.put(payloads.attached_mail(content_type, "page.html"))
    page = root.get(f"/web/messages/{message}")
    check_harmless(page)
    links = [link for link in page.links if "/parts/" in link]
    for link in links:
        headers = root.request("GET", link).headers
        assert headers["content-type"] == "application/octet-stream"
        assert headers["content-disposition"].startswith("attachment;")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("sandbox;")


@pytest.mark.parametrize("name", payloads.NAMES, ids=range(len(payloads.NAMES)))
def test_no_name_of_a_file_is_more_than_a_name(root: Browser, owned: Owned, name: str) -> None:
    message = owned.put(payloads.attached_mail("application/pdf", name))
    page = root.get(f"/web/messages/{message}")
    check_harmless(page)
    (link,) = [link for link in page.links if "/parts/" in link]
    headers = root.request("GET", link).headers
    said = re.fullmatch(
        r"attachment; filename=\"([\w.-]+)\"; filename\*=UTF-8''([\w.~%-]+)", headers["content-disposition"], re.ASCII
    )
    assert said, headers["content-disposition"]
    kept = unquote(said[2])
    assert not re.search('[\x00-\x1f\x7f/\\\\"<>:\u202e]', kept)
    assert 0 < len(kept) <= 150
    assert not kept.startswith(".")
    assert "set-cookie" not in headers


def test_names_keep_their_endings() -> None:
    assert file_name("n" * 500 + ".html", "x").endswith("n.html")
    assert len(file_name("n" * 500 + ".html", "x")) <= 150
    assert file_name("\x00\r\n", "part-1.bin") == "part-1.bin"
    assert disposition("ü 1.txt") == "attachment; filename=\"__1.txt\"; filename*=UTF-8''%C3%BC%201.txt"


@pytest.mark.parametrize("size", [1, 2, 3, 5, 64, 10_000])
def test_pieces_decode_to_what_the_whole_does(size: int) -> None:
    for encoding, text, plain in (
        (b"base64", b"SGVsbG8s\r\nIHdvcmxkIQ==\r\n", b"Hello, world!"),
        (b"base64", b"SGVs!bG8s IHdvcmxkIQ", b"Hello, world!"),
        (b"base64", b"SGVsb", b"Hel"),
        (b"quoted-printable", b"a=C3=\r\n=BC b=3D\r\nc =", "aü b=\r\nc ".encode()),
        (b"8bit", b"a=3D\r\n", b"a=3D\r\n"),
    ):
        decoder = Decoder(encoding)
        pieces = [decoder.feed(text[start : start + size]) for start in range(0, len(text), size)]
        assert b"".join(pieces) + decoder.end() == plain


# --- deleted mail ---


def test_an_administrator_restores_what_was_ticked(api: Api, owned: Owned) -> None:
    browser = visitors.keeper(api, owned.domain)
    messages = [owned.put(PLAIN.replace(b"Tea", b"Tea %d" % n)) for n in range(3)]
    for message in messages:
        run_delete(owned, message)
    path = f"{owned.base}/deleted"
    page = browser.get(path)
    form = page.form(f"{path}/restore")
    assert {f"chosen-{message}" for message in messages} < set(form.fields)
    del form.fields[f"chosen-{messages[1]}"]
    assert "The messages are back" in browser.send(form).text
    assert owned.live() == 2
    page = browser.get(path)
    assert "Tea 1" in page.text
    assert "Tea 0" not in page.text
    assert browser.send(form).status == 409  # they are back already
    nothing = Form(f"{path}/restore", "POST", {"form_token": form.fields["form_token"]})
    assert "Tick the messages" in browser.send(nothing).text
    assert ("message.restore", {"mailbox": "INBOX", "into": "INBOX", "messages": 2}) in owned.audited()


def test_all_that_match_come_back(api: Api, root: Browser, owned: Owned) -> None:
    other = owned.box("Other")
    for number in range(60):
        run_delete(owned, owned.put(PLAIN.replace(b"Tea", b"Tea %d" % number), other if number % 2 else 0))
    api.store.execute("UPDATE messages SET deleted_at = deleted_at - %s WHERE mailbox = %s", 3 * 86_400_000_000, other)
    path = f"{owned.base}/deleted"
    page = root.get(path)
    assert "1 to 50" in page.text
    days = [
        given["value"] for tag, given in page.elements if tag == "option" and re.match("20..-", given["value"] or "")
    ]
    assert len(days) == 2
    assert "(60)" in page.text
    narrowed = root.get(f"{path}?since={days[1]}")
    assert "30 in all" in narrowed.text
    assert "Other" not in [text for text in narrowed._text if text == "Other"]
    assert "The messages are back" in root.send(narrowed.form(f"{path}/restore-all")).text
    assert owned.live() == 30
    narrowed = root.get(f"{path}?mailbox={other}&subject=tea+1")
    assert "The messages are back" in root.send(narrowed.form(f"{path}/restore-all")).text
    assert owned.live() == 30 + 6
    assert "Nothing that was deleted is like that." in root.get(f"{path}?sender=nobody").text
    assert "Nothing that was deleted is like that." in root.get(f"{path}?mailbox=x").text
    page = root.get(f"{path}?since=yesterday")
    assert (page.status, "Enter a day such as" in page.text) == (422, True)


def test_a_deleted_mailbox_comes_back_with_its_mail(api: Api, root: Browser, owned: Owned) -> None:
    other = owned.box("Other")
    message = owned.put(PLAIN, other)
    run(admin_mailboxes.delete(api.store.tx, OPERATOR, other))
    assert root.get(f"/web/mailboxes/{other}").status == 404
    assert "Other (deleted)" in root.get(f"/web/messages/{message}").text
    path = f"{owned.base}/deleted"
    assert "Other (deleted)" in root.get(path).text
    assert "The messages are back" in press(root, path, f"{path}/restore").text
    assert "Other" in root.get(f"{owned.base}/mailboxes").text


def empty(owned: Owned, count: int) -> None:
    """Have so many messages that were deleted."""
    fill(owned.api.store, owned.account, owned.inbox, count)
    deleted = "UPDATE messages SET deleted_at = %s, fate = 1 WHERE mailbox = %s"
    owned.api.store.execute(deleted, 1_790_000_000_000_000, owned.inbox)
    owned.api.store.execute("UPDATE account_usage SET octets = 0, messages = 0 WHERE account = %s", owned.account.id)


def test_without_room_nothing_comes_back_and_no_job_begins(api: Api, owned: Owned) -> None:
    empty(owned, 5)
    api.store.execute("UPDATE accounts SET quota_messages = 1 WHERE id = %s", owned.account.id)
    with leaving_to_jobs(api, 4) as hasty:
        browser = visitors.keeper(hasty)
        path = f"{owned.base}/deleted"
        for action in ("restore", "restore-all"):
            page = press(browser, path, f"{path}/{action}")
            assert (page.status, "Nothing was restored." in page.text) == (409, True)
    assert owned.live() == api.store.count("SELECT COUNT(*) FROM jobs") == 0


@pytest.mark.parametrize("who", ["administrator", "owner"])
def test_more_than_one_waits_for_is_left_to_a_job(api: Api, owned: Owned, who: str) -> None:
    empty(owned, 5)
    with leaving_to_jobs(api, 4) as hasty:
        is_owner = who == "owner"
        browser = visitors.owner(hasty, owned.account) if is_owner else visitors.keeper(hasty, owned.domain)
        path, jobs = ("/web/my/deleted", "/web/my/jobs") if is_owner else (f"{owned.base}/deleted", "/web/jobs")
        four = browser.get(f"{path}?sender=no.&since=2026-01-01")
        page = browser.send(four.form(f"{path}/restore-all"))
        here = browser.path.partition("?")[0]
        assert here.startswith(f"{jobs}/")
        assert "will be whether you stay here or not" in page.text
        assert "From contains" not in page.text
        assert "2026-01-01 00:00 UTC" in page.text
        refused = browser.send(four.form(f"{path}/restore-all"))
        assert (refused.status, "being restored already" in refused.text) == (409, True)
        assert here in browser.get(path).links
        with running_jobs(hasty):
            until(lambda: "What came of it" in browser.get(here).text)
        page = browser.get(here)
        assert "Restored5" in page.text
        assert page.links.count(path if is_owner else "/web/jobs") > 0
        assert owned.live() == 5
        assert here in browser.get(path).links, "what came of it is found for a day"


def test_the_owner_cancels_his_job_and_nobody_else_s(api: Api, owned: Owned) -> None:
    empty(owned, 5)
    with leaving_to_jobs(api, 4) as hasty:
        _, name = visitors.domain(hasty)
        stranger = visitors.owner(hasty, visitors.account(hasty, name))
        neighbour = visitors.owner(hasty, visitors.account(hasty, owned.account.address.partition("@")[2]))
        other_keeper = visitors.keeper(hasty, visitors.domain(hasty)[0])
        browser = visitors.owner(hasty, owned.account)
        page = press(browser, "/web/my/deleted", "/web/my/deleted/restore-all")
        here = browser.path.partition("?")[0]
        number = here.rpartition("/")[2]
        for who, path in (
            (stranger, here), (neighbour, here), (neighbour, f"/web/jobs/{number}"),
            (other_keeper, f"/web/jobs/{number}"), (browser, f"/web/jobs/{number}"),
        ):  # fmt: skip
            assert who.get(path).status == 404
            token = who.get("/web/").form("/web/sign-out").fields["form_token"]
            assert who.request("POST", f"{path}/cancel", {"form_token": token}).status == 404
        assert "cancelled" in browser.send(page.form(f"{here}/cancel")).text
        administrators = visitors.keeper(hasty, owned.domain)
        press(administrators, f"{owned.base}/deleted", f"{owned.base}/deleted/restore-all")
        theirs = administrators.path.partition("?")[0].rpartition("/")[2]
        assert theirs != number
        assert browser.get(f"/web/my/jobs/{theirs}").status == 404
        assert f"/web/my/jobs/{theirs}" not in browser.get("/web/my/deleted").links
        assert owned.live() == 0


def until(holds: Callable[[], bool]) -> None:
    """Wait until it holds; AssertionError when it never does."""
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_owner_restores_his_own_mail_and_nobody_else_s(api: Api, owned: Owned) -> None:
    message = owned.put()
    run_delete(owned, message)
    stranger = visitors.owner(api, visitors.account(api, owned.account.address.partition("@")[2]))
    assert "there is nothing to restore" in stranger.get("/web/my/deleted").text
    token = stranger.get("/web/my/deleted").form("/web/sign-out").fields["form_token"]
    form = {"form_token": token, f"chosen-{message}": "on"}
    assert stranger.request("POST", "/web/my/deleted/restore", form).status == 409
    assert owned.live() == 0
    browser = visitors.owner(api, owned.account)
    page = browser.get("/web/my/deleted")
    assert "Tea" in page.text
    assert not any("/web/messages/" in link for link in page.links)
    assert "The messages are back" in browser.send(page.form("/web/my/deleted/restore")).text
    assert owned.live() == 1
    assert visitors.keeper(api).request("GET", "/web/my/deleted").status == 404
