"""Pages opened in Chromium, where it is installed."""

import json
import re
import shutil
import subprocess

import pytest

needs_chromium = pytest.mark.skipif(shutil.which("chromium") is None, reason="needs Chromium")

# What a reader meets: sections of no height, a page wider than its window, and what charts do.
_PROBE = """
const sections = Object.fromEntries([...document.querySelectorAll("section")].map((s) => [s.id, s.offsetHeight]));
const svg = document.querySelector("svg.chart"), found = {sections, width: document.documentElement.scrollWidth};
if (svg) {
  const box = svg.getBoundingClientRect(), figure = svg.closest("figure");
  const x = box.left + box.width / 2, y = box.top + box.height / 2;
  svg.dispatchEvent(new PointerEvent("pointermove", {clientX: x, clientY: y}));
  found.tip = figure.querySelector(".tip").innerText;
  figure.querySelector(".legend [data-line]")?.click();
  found.hidden = svg.querySelectorAll("g[data-line][style*=none]").length;
}
document.documentElement.dataset.probe = JSON.stringify(found);
"""


def open_page(path, *, width=1280):
    """The document as Chromium has built it, and the messages in its console."""
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={path.parent / 'browser'}"]
    command += ["--enable-logging=stderr", f"--window-size={width},900", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    return done.stdout, [line for line in done.stderr.splitlines() if ":CONSOLE:" in line]


def probe_page(page, folder, *, width):
    """What `_PROBE` finds in a page; its own policy would not let the probe run, and is taken out."""
    path = folder / "probed.html"
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    path.write_text(page.replace("</body>", f"<script>{_PROBE}</script></body>"))
    shown, messages = open_page(path, width=width)
    assert messages == []
    (found,) = re.findall(r'data-probe="([^"]*)"', shown)
    return json.loads(found.replace("&quot;", '"').replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
