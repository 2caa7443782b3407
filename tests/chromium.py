"""A page in a real browser: what a headless Chromium finds wrong with it."""

import functools
import html
import json
import re
import shutil
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

# The page is put into a frame as wide as the screen would be; what is asked of it is written where --dump-dom finds it.
_PROBE = """<!doctype html><title>probe</title>
<iframe src="{page}" style="width: {width}px; height: 900px; border: 0"></iframe><pre></pre>
<script>
document.querySelector("iframe").onload = event => {{
  const page = event.target.contentDocument, {{scrollWidth, clientWidth}} = page.documentElement;
  const wide = [...page.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > clientWidth + 1);
  document.querySelector("pre").textContent = JSON.stringify({{
    images: [...page.images].map(image => image.naturalWidth),
    links: [...page.querySelectorAll("a")].map(link => link.getAttribute("href")),
    overflow: scrollWidth - clientWidth,
    wide: wide.map(e => e.tagName + ": " + e.textContent.slice(0, 40)),
    title: page.title,
  }});
}};
</script>"""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_arguments):
        pass


def look_at(page: Path, width: int) -> dict:
    """Return what the browser makes of a page on a screen so wide; `console` has the lines of its console."""
    probe = page.with_name(f"probe_{width}.html")
    probe.write_text(_PROBE.format(page=page.name, width=width), encoding="utf-8")
    handler = functools.partial(_Quiet, directory=str(page.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = _run("--dump-dom", f"http://127.0.0.1:{server.server_port}/{probe.name}")
        server.shutdown()
    found = json.loads(html.unescape(re.search("<pre>(.*)</pre>", done.stdout, re.DOTALL)[1]))
    return found | {"console": [line for line in done.stderr.splitlines() if "CONSOLE" in line]}


def _run(*arguments: str) -> subprocess.CompletedProcess:
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=10000"]
    return subprocess.run([CHROMIUM, *options, *arguments], capture_output=True, text=True, timeout=120, check=True)
