"""A browser as far as pages without JavaScript need one: cookies, redirects, and forms sent as they were read."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from urllib.parse import urlencode, urljoin


@dataclass
class Form:
    """A form of a page: where it goes, and its fields as they stand."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)


class Page(HTMLParser):
    """A page that was read: its headings, links, forms, and all its text."""

    def __init__(self, status: int, headers: Mapping[str, str], html: str) -> None:
        super().__init__()
        self.status = status
        self.headers = headers
        self.html = html
        self.links: list[str] = []
        self.forms: list[Form] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._text: list[str] = []
        self.feed(html)

    @property
    def text(self) -> str:
        """What people read, in one line."""
        return " ".join("".join(self._text).split())

    def form(self, action: str) -> Form:
        """The form that goes to `action`."""
        return next(form for form in self.forms if form.action == action)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.elements.append((tag, given))
        if tag == "a":
            self.links.append(given.get("href") or "")
        elif tag == "form":
            self.forms.append(Form(given.get("action") or "", (given.get("method") or "get").upper()))
        elif tag == "input" and self.forms and given.get("name"):
            self.forms[-1].fields[str(given["name"])] = given.get("value") or ""

    def handle_data(self, data: str) -> None:
        self._text.append(data)


class Browser:
    """Somebody at a browser; `headers` are sent with every request, `cookies` are what was set."""

    def __init__(self, port: int, headers: Mapping[str, str] | None = None) -> None:
        self.cookies: dict[str, str] = {}
        self.set_cookies: list[str] = []
        self.path = "/"
        self._port = port
        self._headers = dict(headers or {})

    def get(self, path: str) -> Page:
        """The page at `path`, redirects followed."""
        return self._follow(self.request("GET", path))

    def send(self, form: Form, **values: str) -> Page:
        """The page that a form leads to, filled in with `values`, redirects followed."""
        assert form.method == "POST"
        return self._follow(self.request("POST", form.action, {**form.fields, **values}))

    def request(
        self,
        method: str,
        path: str,
        fields: Mapping[str, str] | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> Page:
        """What one request gives, no redirect followed; a header of None is not sent."""
        sent: dict[str, str | None] = {"Host": f"127.0.0.1:{self._port}", "User-Agent": "Test", **self._headers}
        if method == "POST":
            sent |= {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded"}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        given = {name: value for name, value in {**sent, **(headers or {})}.items() if value is not None}
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request(method, path, urlencode(fields) if fields is not None else None, given)
            answer = connection.getresponse()
            octets = answer.read()
        finally:
            connection.close()
        self.path = path
        for line in answer.headers.get_all("set-cookie", []):
            self._keep(line)
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Page(answer.status, found, octets.decode("utf-8", "replace"))

    def _follow(self, page: Page) -> Page:
        for _ in range(5):
            if page.status != 303:
                return page
            page = self.request("GET", urljoin(self.path, page.headers["location"]))
        raise AssertionError("redirected in a circle")

    def _keep(self, line: str) -> None:
        self.set_cookies.append(line)
        for name, morsel in SimpleCookie(line).items():
            if morsel["max-age"] == "0":
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = morsel.value
