"""All pages that somebody finds by following links, and forms that only ask."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import parse_qsl, urldefrag, urlencode, urljoin, urlsplit

from lightmail.web.pages.table import VIEWS
from lightmail.web.pages.views import View
from tests.support.browser import Browser, Form, Page

# Of one page with other ids, or other answers to the same questions, so many are looked at.
_ALIKE: Final = 3
_HTML: Final = "text/html"


@dataclass(frozen=True)
class Seen:
    """A page as it was found: by its row, at its address, by a link on `source`."""

    view: View
    path: str
    source: str
    page: Page

    @property
    def is_page(self) -> bool:
        """Whether it is something of ours to look at, and no file or somebody's mail."""
        headers = self.page.headers
        is_ours = "sandbox" not in headers.get("content-security-policy", "")
        return is_ours and headers.get("content-type", "").startswith(_HTML)

    @property
    def kind(self) -> str:
        """Its row, and what its query asks for, whatever the answers are."""
        return _kind(self.view, self.path)


def view_of(method: str, address: str) -> View | None:
    """The row that answers at an address."""
    path = urlsplit(address).path
    rows = (view for view in VIEWS if view.method == method)
    return next((view for view in rows if re.fullmatch(_pattern(view.path), path)), None)


def _pattern(path: str) -> str:
    return "".join("[^/]+" if piece.startswith("{") else re.escape(piece) for piece in re.split(r"(\{[a-z_]+\})", path))


def _kind(view: View, path: str) -> str:
    return "?".join([view.path, *sorted(name for name, _ in parse_qsl(urlsplit(path).query))])


def crawl(browser: Browser, start: str = "/web/") -> list[Seen]:
    """What is found from `start` on, in the order in which it was. AssertionError where a link leads nowhere."""
    found: list[Seen] = []
    known: set[str] = set()
    alike: Counter[str] = Counter()
    ahead = [(start, "")]
    while ahead:
        path, source = ahead.pop(0)
        view = view_of("GET", path)
        assert view is not None, f"{source} has a link to {path}, where no page is"
        if path in known or alike[_kind(view, path)] == _ALIKE:
            continue
        known.add(path)
        alike[_kind(view, path)] += 1
        page = browser.get(path)
        assert page.status == 200, f"{source} has a link to {path}, which answers {page.status}"
        found.append(Seen(view, path, source, page))
        if found[-1].is_page:
            ahead += [(link, path) for link in _onward(path, page)]
    return found


def _onward(path: str, page: Page) -> Iterable[str]:
    asking = [f"{form.action or path}?{urlencode(form.fields)}" for form in page.forms if form.method == "GET"]
    framed = [given.get("src") or "" for tag, given in page.elements if tag == "iframe"]
    for link in (*page.links, *asking, *framed):
        address = urldefrag(urljoin(path, link)).url
        if address.startswith("/"):
            yield address


def one_of_each(found: Iterable[Seen], kind: Callable[[Seen], str]) -> list[Seen]:
    """Of each kind of page, the one with the most on it."""
    fullest: dict[str, Seen] = {}
    for seen in found:
        if kind(seen) not in fullest or len(seen.page.html) > len(fullest[kind(seen)].page.html):
            fullest[kind(seen)] = seen
    return list(fullest.values())


def changing(found: Sequence[Seen]) -> dict[str, Form]:
    """The forms that change something, by where they go; what is to be typed before something goes is typed."""
    forms: dict[str, Form] = {}
    for seen in found:
        asked = re.search(r"Type (\S+) to go on", seen.page.text)
        for form in seen.page.forms:
            if form.method == "POST":
                typed = {"typed": asked[1]} if asked and "typed" in form.fields else {}
                forms[form.action] = replace(form, fields={**form.fields, **typed})
    return forms
