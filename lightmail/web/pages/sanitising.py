"""HTML of strangers, made fit to be shown: words, lists and tables, and nothing that runs, loads or sends.

Two passes. The first is ours: it lets known elements through, balanced and nested no deeper than a bound, since the
second would take minutes for a few thousand that are open at once. The second is nh3, which parses what is left as a
browser does and writes it anew; it alone is relied upon. Besides, the page that shows the outcome runs no scripts and
loads nothing, whatever it says (`POLICY`).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from html import escape, unescape
from string import ascii_lowercase, ascii_uppercase
from typing import Final
from urllib.parse import urlsplit

import nh3

_DEPTH: Final = 64
_ELEMENTS: Final = 20_000
_ATTRIBUTES_CHARACTERS: Final = 8192

_VOID: Final = frozenset({"br", "hr", "img", "wbr"})
_TAGS: Final = _VOID | frozenset(
    "a abbr address article aside b bdi bdo big blockquote caption center cite code dd del details dfn div dl dt em"
    " figcaption figure font footer h1 h2 h3 h4 h5 h6 header i ins kbd li main mark ol p pre q s samp section small"
    " span strike strong sub summary sup table tbody td tfoot th thead time tr tt u ul var".split()
)
# What stands in these is no text to read.
_UNREAD: Final = frozenset(
    "applet audio canvas iframe math noembed noframes noscript object plaintext script select style svg template"
    " textarea title video xmp".split()
)
_ATTRIBUTES: Final = {
    "a": {"href"},
    "img": {"alt"},
    "ol": {"start"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan"},
    "*": {"dir", "lang"},
}
_SCHEMES: Final = frozenset({"http", "https", "mailto"})

_TOKEN: Final = re.compile(
    r"<!--.*?-->|<!--.*|<(?:[!?]|/(?![a-zA-Z]))[^>]*+>?"
    r"|<(?P<close>/?)(?P<name>[a-zA-Z][^\s/>]*+)(?P<attributes>(?:[^>\"']++|\"[^\"]*+\"?|'[^']*+'?)*+)>?"
    r"|(?P<text>[^<]++|<)",
    re.DOTALL,
)
_ATTRIBUTE: Final = re.compile(r"(?<![a-zA-Z])([a-zA-Z]++)\s*+=\s*+(?:\"([^\"]*+)\"|'([^']*+)'|([^\s\"'>]++))")
_FOLDED: Final = str.maketrans(ascii_uppercase, ascii_lowercase)
_LINE: Final = re.compile(
    r"<(?:br|hr|/?(?:p|div|tr|li|ul|ol|h[1-6]|table|blockquote|pre|dt|dd|section|article))\b[^>]*>"
)
_CELL: Final = re.compile(r"</t[dh]>")
_TAG: Final = re.compile(r"<[^>]*>")
_MANY_LINES: Final = re.compile(r"[ \t]*\n(?:[ \t]*\n){2,}")

# No file is loaded, not even one of ours, so that the style stands in the page; its digest lets it, and no other.
_STYLE: Final = (
    ":root{color-scheme:light dark;font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}"
    "body{margin:1rem}body:focus-visible{outline:3px solid;outline-offset:.5rem}"
    "table{border-collapse:collapse}td,th{padding:.15rem .4rem;vertical-align:top;text-align:start}"
    "blockquote{margin:.5rem 0;padding-inline-start:.8rem;border-inline-start:3px solid GrayText}"
    "pre{white-space:pre-wrap}a[href]::after{content:' <' attr(href) '>';font-size:.85em}"
)
_STYLE_DIGEST: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
POLICY: Final = (
    f"sandbox; default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'self'"
)


def document(html: str) -> bytes:
    """A page of its own that shows a message's HTML; to be served with `POLICY`. Tab leads into it, to scroll it."""
    return (
        '<!DOCTYPE html>\n<html><head><meta charset="utf-8"><title>Message</title>'
        f'<style>{_STYLE}</style></head><body tabindex="0">{sanitised(html)}</body></html>'
    ).encode("utf-8", "replace")


def sanitised(html: str) -> str:
    """The HTML that is fit to be shown. It blocks for some tens of milliseconds, longer for what means harm."""
    return nh3.clean(
        "".join(_balanced(html)),
        tags=set(_TAGS),
        clean_content_tags=set(_UNREAD),
        attributes={tag: set(names) for tag, names in _ATTRIBUTES.items()},
        attribute_filter=_kept,
        url_schemes=set(_SCHEMES),
        link_rel="noopener noreferrer nofollow",
        strip_comments=True,
    )


def plain_text(html: str) -> str:
    """What the HTML says, as text. It blocks as `sanitised` does."""
    shown = _CELL.sub("\t", sanitised(html).replace("\n", " "))
    return _MANY_LINES.sub("\n\n", unescape(_TAG.sub("", _LINE.sub("\n", shown)))).strip()


def _kept(tag: str, name: str, value: str) -> str | None:
    """An attribute's value, None where it goes: links lead to whole addresses of the web or of mail."""
    if name != "href":
        return value
    try:
        return value if urlsplit(value.strip()).scheme.lower() in _SCHEMES else None
    except ValueError:
        return None


def _balanced(html: str) -> Iterator[str]:
    """The text, and the elements that are let through, each closed again."""
    folded = html.translate(_FOLDED)
    opened: list[str] = []
    position, left = 0, _ELEMENTS
    while (match := _TOKEN.match(html, position)) is not None:
        position = match.end()
        name = (match["name"] or "").lower()
        if match["text"] is not None:
            yield match["text"].replace("<", "&lt;")
        elif match["close"]:
            yield from _closed(opened, name)
        elif name in _UNREAD:
            position = folded.find(f"</{name}", position)
            if position < 0:
                break
        elif name in _TAGS and left and (name in _VOID or len(opened) < _DEPTH):
            left -= 1
            yield f"<{name}{_attributes(name, match['attributes'])}>"
            if name not in _VOID:
                opened.append(name)
    yield from (f"</{name}>" for name in reversed(opened))


def _closed(opened: list[str], name: str) -> Iterator[str]:
    if name in opened:
        while (last := opened.pop()) != name:
            yield f"</{last}>"
        yield f"</{name}>"


def _attributes(tag: str, text: str) -> str:
    wanted = _ATTRIBUTES["*"] | _ATTRIBUTES.get(tag, set())
    found: dict[str, str] = {}
    for match in _ATTRIBUTE.finditer(text[:_ATTRIBUTES_CHARACTERS]):
        name = match[1].lower()
        if name in wanted:
            found.setdefault(name, unescape(match[2] or match[3] or match[4] or ""))
    return "".join(f' {name}="{escape(value)}"' for name, value in found.items())
