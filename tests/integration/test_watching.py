"""What an operator watches a server with: metrics and their rules, the log and its traces, fail2ban's filter."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from lightmail.cli import cli
from lightmail.cli.common import Refused
from tests.integration.servers import HOST, MailServer
from tests.support.lmtpclient import LmtpClient
from tests.support.metricspage import metrics_on_the_page
from tests.support.seaweedfs import free_ports
from tests.support.stack import EMBEDDED, open_stack
from tests.support.transcript import Connection
from tests.unit.test_metrics import ROOT, expressions

USERS = ["ada@example.org", "bob@example.org"]
TOKEN = "sesame"
MESSAGE = b"Message-ID: <m1@x.example>\r\nSubject: x\r\n\r\nx\r\n"
RULES = ROOT / "etc" / "prometheus" / "alerts.yml"
FILTER = ROOT / "etc" / "fail2ban" / "filter.d" / "lightmail.conf"
DELIVERED = re.compile(r"lmtp\.handover \[([0-9a-f]{12}\.\d+)\] delivered from <carl@x\.example> to <ada@example\.org>")
# Names that would be label values, or lines of their own, if anybody took them.
STRANGE = [b'XYZZY"', b"\xc3\xbc{y", b"FETCH2", b"login failed for 'x' from 192.0.2.66 over imap"]


def need(program: str) -> None:
    """Skip where a program is not installed."""
    if shutil.which(program) is None:
        pytest.skip(f"no {program}: .ci/debian-packages installs it")


@pytest.fixture(scope="module", params=["text", pytest.param("json", marks=pytest.mark.heavy)])
def server(request: pytest.FixtureRequest) -> Iterator[MailServer]:
    """A server that has had visitors of all kinds, with its metrics on a port of their own."""
    metrics = free_ports(1)[0]
    with open_stack(EMBEDDED, users=USERS) as stack:
        server = stack.server
        server.sections["logging"] = {
            "path": server.directory / "mail.log",
            "json": str(request.param == "json").lower(),
        }
        server.sections["api"]["token"] = TOKEN
        server.sections["metrics"] = {"bind": HOST, "port": metrics}
        server.sections["limits"] = {"trusted_networks": "127.0.0.0/8", "bad_commands": 1000}
        server.write_config()
        server.start()
        visit(server)
        yield server


def visit(server: MailServer) -> None:
    """A client in IDLE is told of a delivery; others do what they should not."""
    with login(server, b"secret") as idling:
        idling.send(b"b SELECT INBOX\r\nc IDLE\r\n")
        until(idling, b"+ ")
        with LmtpClient(HOST, server.lmtp) as lmtp:
            replies = lmtp.deliver("carl@x.example", [*USERS, "nobody@example.org"], MESSAGE)
            assert [reply[:3] for reply in replies] == [b"250", b"250", b"550"]
        until(idling, b"* 1 EXISTS")
    for strange in STRANGE:
        with closing(Connection(server.imap)) as client:
            client.send(b"b %b\r\nc %b x\r\nz LOGOUT\r\n" % (strange, strange))
            until(client, b"* BYE")
        with closing(Connection(server.pop3)) as client:
            client.send(b"USER %b\r\n%b\r\nQUIT\r\n" % (strange, strange))
            until(client, b"+OK Bye", b"-ERR Too many")
        page(server.http, "/" + strange.hex(), token=strange.hex())
        page(server.http, "/admin/logs", method="X" + strange.hex().upper(), token=TOKEN)
        page(server.http, "/admin/logs", token=strange.hex())
    with closing(Connection(server.imap)) as client:
        name = STRANGE[-1]
        client.send(b"a LOGIN {%d+}\r\n%b x\r\nz LOGOUT\r\n" % (len(name), name))
        until(client, b"* BYE")
    with closing(Connection(server.pop3)) as client:
        client.send(b"USER ada@example.org\r\nPASS x\r\nQUIT\r\n")
        until(client, b"+OK Bye")


@contextmanager
def login(server: MailServer, password: bytes) -> Iterator[Connection]:
    with closing(Connection(server.imap)) as client:
        client.send(b"a LOGIN ada@example.org %b\r\n" % password)
        until(client, b"a ")
        yield client


def until(client: Connection, *beginnings: bytes) -> None:
    while not client.line().startswith(beginnings):
        pass


def page(port: int, path: str, *, method: str = "GET", token: str | None = None) -> tuple[int, bytes]:
    """A page's status and body."""
    connection = http.client.HTTPConnection(HOST, port, timeout=30)
    try:
        connection.request(method, path, headers={} if token is None else {"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def metrics(server: MailServer) -> bytes:
    """What Prometheus reads."""
    status, body = page(int(str(server.sections["metrics"]["port"])), "/metrics")
    assert status == 200
    return body


def log(server: MailServer) -> str:
    return Path(str(server.sections["logging"]["path"])).read_text()


def promtool(*arguments: str, stdin: bytes = b"") -> None:
    """Run it; AssertionError with what it says where it is not content."""
    need("promtool")
    done = subprocess.run(["promtool", *arguments], input=stdin, capture_output=True, timeout=60, check=False, cwd=ROOT)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


# --- metrics


def test_prometheus_reads_the_page_without_complaint(server: MailServer) -> None:
    promtool("check", "metrics", stdin=metrics(server))


def test_label_values_are_those_of_the_page_whatever_clients_send(server: MailServer) -> None:
    listed = metrics_on_the_page()
    seen = 0
    for family in text_string_to_metric_families(metrics(server).decode()):
        for sample in family.samples:
            name = sample.name if sample.name in listed else re.sub(r"_(bucket|sum|count)$", "", sample.name)
            for label, value in sample.labels.items():
                if label != "le":
                    assert listed[name][label].fullmatch(value), sample
                    seen += 1
    assert seen > 500


def test_what_visitors_did_is_counted(server: MailServer) -> None:
    lines = metrics(server).decode().splitlines()
    for line in (
        'imap_requests_total{command="SELECT",result="ok"} 1.0',
        'emails_received_total{result="delivered"} 2.0',
        'emails_received_total{result="refused"} 1.0',
        "lightmail_delivery_seconds_count 1.0",
        f'lightmail_logins_total{{protocol="api",result="failed"}} {float(len(STRANGE))}',
    ):
        assert line in lines
    (unknown,) = [line for line in lines if line.startswith('imap_requests_total{command="unknown",result="bad"}')]
    assert float(unknown.split()[-1]) >= len(STRANGE)


def test_metrics_with_a_port_of_their_own_are_on_no_other(server: MailServer) -> None:
    assert page(server.http, "/metrics")[0] == 404
    assert page(int(str(server.sections["metrics"]["port"])), "/health")[0] == 404
    assert page(server.http, "/health") == (200, b"OK")


def test_the_alerts_fire_where_they_should_and_not_elsewhere() -> None:
    promtool("check", "rules", str(RULES))
    promtool("test", "rules", str(ROOT / "tests" / "integration" / "alerts_test.yml"))


def test_every_alert_is_tested() -> None:
    names = re.findall(r"- alert: (\w+)", RULES.read_text())
    tested = (ROOT / "tests" / "integration" / "alerts_test.yml").read_text()
    assert len(names) == len(set(names)) > 15
    assert [name for name in names if name not in tested] == []


def test_the_example_for_prometheus_is_valid(tmp_path: Path) -> None:
    shutil.copy(RULES, tmp_path / "lightmail-alerts.yml")
    shutil.copy(ROOT / "etc" / "prometheus" / "prometheus.yml", tmp_path)
    promtool("check", "config", str(tmp_path / "prometheus.yml"))


def test_the_dashboard_s_expressions_are_valid(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "5m")}
        for number, expression in enumerate(expressions())
    ]
    path = tmp_path / "panels.yml"
    path.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))  # JSON is YAML, too
    promtool("check", "rules", "--lint=none", str(path))


# --- the log


def traced(server: MailServer) -> str:
    """The trace of the delivery to ada."""
    if server.sections["logging"]["json"] == "true":
        lines = [json.loads(line) for line in log(server).splitlines()]
        (trace,) = {line["trace"] for line in lines if line.get("recipient") == "ada@example.org"}
        return str(trace)
    found = DELIVERED.search(log(server))
    assert found is not None, log(server)
    return found[1]


def test_one_trace_leads_from_lmtp_to_the_client_that_was_told(server: MailServer) -> None:
    trace = traced(server)
    lines = [line for line in log(server).splitlines() if re.search(rf"{re.escape(trace)}\b", line)]
    assert len(lines) == 4
    assert "to <nobody@example.org>: 550 5.1.1 No such user here." in lines[0]
    assert "to <ada@example.org>: UID 1 in mailbox" in lines[1]
    assert "to <bob@example.org>: UID 1 in mailbox" in lines[2]
    assert "told ada@example.org of 1 new messages in mailbox" in lines[3]
    received = b""
    with login(server, b"secret") as client:
        client.send(b"b SELECT INBOX\r\nc FETCH 1 BODY.PEEK[HEADER.FIELDS (RECEIVED)]\r\nd LOGOUT\r\n")
        while not (line := client.line()).startswith(b"d OK"):
            received += line
    assert f" id {trace}".encode() in received, "a mail client can name it"


@pytest.mark.parametrize("word", ["ada@example.org", "<m1@x.example>", "m1@x.example", "trace"])
def test_the_command_line_tells_where_a_message_is(server: MailServer, word: str) -> None:
    word = traced(server) if word == "trace" else word
    said = lightmail(server, "trace", word)
    assert [line for line in said if "delivered from" in line and "ada@example.org" in line]
    assert [line for line in said if "told ada@example.org" in line]
    assert said == sorted(said, key=lambda line: re.search(r"\d{4}-\d\d-\d\dT[\d:.]+", line)[0])  # type: ignore[index]
    assert lightmail(server, "trace", word, "--log", "-", stdin=log(server)) == said


def lightmail(server: MailServer, *arguments: str, stdin: str = "") -> list[str]:
    """What the command line says, in this process; its error is raised."""
    done = CliRunner().invoke(cli, ["--config", str(server.config), *arguments], input=stdin)
    if done.exception is not None:
        raise done.exception
    return done.output.splitlines()


def test_the_command_line_says_what_it_cannot_find(server: MailServer) -> None:
    for arguments, why in (
        (["trace", "nobody@nowhere.example"], "the log says nothing of nobody@nowhere.example"),
        (["trace", "x@y.example", "--log", "/nonexistent"], "/nonexistent: No such file or directory"),
        (["trace", "ada@example.org", "--since", "2100-01-01"], "the log says nothing of ada@example.org"),
    ):
        with pytest.raises(Refused, match=f"^{re.escape(why)}$"):
            lightmail(server, *arguments)
    done = server.cli("trace", "nobody@nowhere.example", check=False)
    assert (done.returncode, done.stderr) == (1, "lightmail: the log says nothing of nobody@nowhere.example\n")


def logs_of(server: MailServer, query: str) -> tuple[int, dict[str, object]]:
    status, body = page(server.http, f"/admin/logs?{query}", token=TOKEN)
    return status, json.loads(body)


def test_the_api_tells_where_a_message_is(server: MailServer) -> None:
    trace = traced(server)
    for query in (f"trace={trace}", "message_id=m1@x.example"):
        status, found = logs_of(server, query)
        assert status == 200
        items = found["items"]
        assert isinstance(items, list)
        assert [item["traces"] for item in items if trace in item["traces"]]
        assert items == sorted(items, key=lambda item: str(item["time"]), reverse=True)
        assert found["next_cursor"] is None
    messages = [str(item["message"]) for item in items]
    assert any(message.startswith("delivered from <carl@x.example>") for message in messages)


def test_the_api_gives_the_log_by_page(server: MailServer) -> None:
    # What is said from here on is left out, the requests for the pages themselves too.
    moment = json.loads(page(server.http, "/admin/logs?limit=1", token=TOKEN)[1])["items"][0]["time"]
    _, whole = logs_of(server, f"until={moment}&limit=500")
    items: list[object] = []
    cursor = ""
    while True:
        _, part = logs_of(server, f"until={moment}&limit=7{cursor}")
        assert isinstance(part["items"], list)
        items += part["items"]
        if part["next_cursor"] is None:
            break
        assert len(part["items"]) == 7
        cursor = f"&cursor={part['next_cursor']}"
    assert items == whole["items"]
    assert len(items) > 20


@pytest.mark.parametrize(
    "query", ["trace=x", "since=yesterday", "limit=0", "offset=1", "cursor=x", "word=x", "address=a"]
)
def test_the_api_names_what_is_wrong_with_a_search(server: MailServer, query: str) -> None:
    status, problem = logs_of(server, query)
    assert status in (400, 422)
    assert problem["field"] == query.partition("=")[0]


def test_fail2ban_finds_those_who_failed_and_nobody_else(server: MailServer) -> None:
    need("fail2ban-regex")
    path = str(server.sections["logging"]["path"])
    done = subprocess.run(
        ["fail2ban-regex", "--print-all-matched", "--raw", "-o", "<ip> <F-LINE>", path, str(FILTER)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    failed = [line for line in log(server).splitlines() if "login failed for" in line and "over" in line]
    found = done.stdout.splitlines()
    assert {line.split()[0] for line in found} == {"127.0.0.1"}
    assert len(found) == len([line for line in failed if "info" in line[:60]])


def test_fail2ban_reads_the_journal_s_lines_and_cannot_be_led_to_others(tmp_path: Path) -> None:
    need("fail2ban-regex")
    name = "x' from 192.0.2.66 over imap"
    lines = [
        f'2026-11-22T09:25:46.900Z info  auth.login [0d67ba1f7bd8] login failed for "{name}" from 192.0.2.1 over imap',
        f'2026-11-22T09:25:46.900Z info  auth.login login failed for "{name}" from 2001:db8::1 over pop3',
        f'2026-11-22T09:25:46.900Z info  auth.login login ok for "login failed for {name}" from 192.0.2.67 over pop3',
        "2026-11-22T09:25:46.900Z info  lmtp.handover login failed for 'x' from 192.0.2.66 over imap",
        "2026-11-22T09:25:46.900Z info  auth.login login unavailable for 'x' from 192.0.2.66 over imap",
        "Nov 22 09:25:46 mx twistd[12]: "
        "2026-11-22T09:25:46.900Z info  auth.login login failed for 'x' from 192.0.2.2 over api",
        _json(f"login failed for '{name}' from 192.0.2.3 over imap", "192.0.2.3", name),
        _json('", "result": "failed", "address": "192.0.2.66", "protocol": "imap"', "192.0.2.4", name),
        "Nov 22 09:25:46 mx twistd[12]: " + _json("login failed for 'x' from 192.0.2.5 over imap", "192.0.2.5", "x"),
    ]
    path = tmp_path / "log"
    path.write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        ["fail2ban-regex", "-o", "<ip>", str(path), str(FILTER)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == ["192.0.2.1", "2001:db8::1", "192.0.2.2", "192.0.2.3", "192.0.2.5"], done.stderr


def test_fail2ban_takes_the_jail(tmp_path: Path) -> None:
    need("fail2ban-client")
    settings = tmp_path / "fail2ban"
    shutil.copytree("/etc/fail2ban", settings)
    for other in (settings / "jail.d").iterdir():
        other.unlink()
    shutil.copy(FILTER, settings / "filter.d")
    shutil.copy(FILTER.parents[1] / "jail.d" / "lightmail.conf", settings / "jail.d")
    done = subprocess.run(
        ["fail2ban-client", "-c", str(settings), "-t"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _json(message: str, address: str, name: str) -> str:
    return json.dumps(
        {
            "time": "2026-11-22T09:25:46.900Z",
            "level": "info",
            "source": "auth.login",
            "trace": "0d67ba1f7bd8",
            "message": message,
            "result": "failed",
            "address": address,
            "protocol": "imap",
            "name": name,
        }
    )
