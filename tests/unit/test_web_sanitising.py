"""What is left of HTML that means harm: nothing that runs, loads, sends or leads elsewhere but by a link."""

from __future__ import annotations

import time
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightmail.web.pages.sanitising import POLICY, document, plain_text, sanitised
from tests.support.payloads import HTML

_HARMLESS = {"href", "rel", "alt", "start", "colspan", "rowspan", "dir", "lang"}
_HARMFUL_TAGS = {
    *("script style link meta base iframe frame frameset object embed applet form input button select".split()),
    *("svg math video audio source track picture template noscript title body html head image bgsound portal".split()),
    *("textarea dialog marquee isindex keygen param xmp plaintext listing".split()),
}


class _Left(HTMLParser):
    """What a page is made of."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.deepest = 0
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in ("br", "hr", "img", "wbr"):
            self.open.append(tag)
            self.deepest = max(self.deepest, len(self.open))

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass


def _check(html: str) -> None:
    left = sanitised(html)
    for tag, attributes in _Left(left).found:
        assert tag not in _HARMFUL_TAGS, left
        assert set(attributes) <= _HARMLESS, left
        if "href" in attributes:
            assert tag == "a"
            assert urlsplit(attributes["href"].strip()).scheme in ("http", "https", "mailto"), left
    assert sanitised(left) == left


@pytest.mark.parametrize("name", HTML)
def test_nothing_that_means_harm_is_left(name: str) -> None:
    _check(HTML[name])


@pytest.mark.parametrize("name", HTML)
def test_nor_where_it_stands_in_something_else(name: str) -> None:
    for around in ("<table><tr><td>{}", "<div title='{}'>", "<svg><desc>{}</desc></svg>", "<p><a href=x>{}", "<!--{}"):
        _check(around.replace("{}", HTML[name]))
    _check("".join(HTML.values()))


_PIECES = [piece for body in HTML.values() for piece in body.replace(">", ">\0").replace('"', '"\0').split("\0")]


@given(st.lists(st.sampled_from(_PIECES) | st.text("<>\"'=/!-& abps\x00\n", max_size=8), max_size=30))
def test_nor_of_any_mixture(pieces: list[str]) -> None:
    _check("".join(pieces))


def test_words_tables_and_links_stay() -> None:
    html = (
        '<html><head><title>t</title></head><body bgcolor=red><h1 class=x>Tea</h1><p style="x">At <b>five</b>.<br>'
        '<a href="https://example.net/?a=1&amp;b=2" target=_blank>here</a> <img src=https://example.net/x alt="a cup">'
        "<table><tr><td colspan=2 width=9>1 &lt; 2</td></tr></table><ol start=3><li>c</ol>ü"
    )
    assert sanitised(html) == (
        "<h1>Tea</h1><p>At <b>five</b>.<br>"
        '<a href="https://example.net/?a=1&amp;b=2" rel="noopener noreferrer nofollow">here</a> <img alt="a cup">'
        '</p><table><tbody><tr><td colspan="2">1 &lt; 2</td></tr></tbody></table><ol start="3"><li>c</li></ol>ü<p></p>'
    )
    said = [line.strip() for line in plain_text(html).splitlines() if line.strip()]
    assert said == ["Tea", "At five.", "here", "1 < 2", "c", "ü"]


def test_the_page_has_one_style_which_its_policy_knows() -> None:
    page = document("<style>p{}</style><p>x").decode()
    assert page.count("<style>") == 1
    assert page.endswith('<body tabindex="0"><p>x</p></body></html>')
    for word in ("sandbox;", "default-src 'none'", "form-action 'none'", "base-uri 'none'", "frame-ancestors 'self'"):
        assert word in POLICY
    assert "unsafe" not in POLICY
    assert "allow-" not in POLICY


@pytest.mark.parametrize(
    "bomb",
    [
        "<div>" * 50_000,
        "".join(f"<b id={n}>" for n in range(25_000)) + "<p>" * 2000,
        "<span>" * 64 + "<p>" * 80_000,
        ("<a " + "a" * 8000 + ">") * 30,
        "<!--" * 60_000,
        "<" * 250_000,
        "<a '" * 60_000,
        '<a href="x' * 20_000,
        "<table><tr><td>" * 16_000,
        "<svg>" * 50_000,
        "</b><b>" * 35_000,
        "&" * 250_000,
    ],
    ids=lambda bomb: f"{bomb[:8]}",
)
def test_what_is_made_to_keep_a_parser_busy_does_not(bomb: str) -> None:
    began = time.thread_time()
    left = sanitised(bomb)
    assert time.thread_time() - began < 2
    assert _Left(left).deepest < 200
