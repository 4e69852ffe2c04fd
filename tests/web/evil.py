"""Another site: a server on this host with one page, which tries what a page of somebody else's could."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

# Forms go to frames of their own; what comes of all is in `window.done`, and what could be read in `window.read`.
_PAGE: Final = """<!doctype html><html lang=en><title>Prizes</title><p><a href="%(target)s/web/">Your prize</a></p>
<script>
window.read = []; window.done = 0;
const target = %(target)s, forms = %(forms)s;
function framed(name, then) {
  const frame = document.createElement("iframe");
  frame.name = name;
  document.body.append(frame);
  frame.addEventListener("load", () => {
    try { if (frame.contentDocument.body.textContent) window.read.push(name); } catch (refused) {}
    window.done += 1;
  });
  then(frame);
}
function submit([action, fields], number) {
  framed("f" + number, () => {
    const form = document.createElement("form");
    Object.assign(form, {method: "post", action: target + action, target: "f" + number});
    for (const [name, value] of fields) {
      const input = document.createElement("input");
      Object.assign(input, {type: "hidden", name, value});
      form.append(input);
    }
    document.body.append(form);
    HTMLFormElement.prototype.submit.call(form);
  });
}
async function ask([action, fields]) {
  for (const mode of ["no-cors", "cors"]) {
    try {
      const body = new URLSearchParams(fields);
      const answer = await fetch(target + action, {method: "POST", credentials: "include", mode, body});
      if (await answer.text()) window.read.push(action);
    } catch (refused) {}
  }
  window.done += 1;
}
async function look(path) {
  try {
    if (await (await fetch(target + path, {credentials: "include"})).text()) window.read.push(path);
  } catch (refused) {}
  window.done += 1;
}
addEventListener("load", () => {
  forms.forEach(submit);
  forms.forEach(ask);
  look("/web/");
  framed("pages", frame => { frame.src = target + "/web/"; });
});
</script>"""


@contextmanager
def site(target: str, forms: Sequence[tuple[str, Mapping[str, str]]]) -> Iterator[int]:
    """Serve a page that attacks `target` with these forms, on the port that is given."""
    sent = [[action, list(fields.items())] for action, fields in forms]
    page = _PAGE.replace('"%(target)s/web/"', f'"{target}/web/"') % {
        "target": json.dumps(target), "forms": json.dumps(sent)
    }  # fmt: skip

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/" else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(page.encode() if self.path == "/" else b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
