"""A headless Chromium that opens one page: what it drew and measured, what it complained about."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
import zlib
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any, Literal

import pytest

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
    "--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND",  # what the browser itself asks for stays here too
    "--allow-file-access-from-files", "--enable-logging=stderr", "--v=0",
)  # fmt: skip
_TIMEOUT_S = 90

_FRAME = """<!doctype html><meta charset="utf-8"><body style="margin:0">
<iframe src="{page}" style="border:0;width:{width}px;height:{height}px"></iframe>
<pre id="measured"></pre>
<script>
onload = () => {{
  const page = document.querySelector("iframe").contentDocument, root = page.documentElement
  const wide = [...page.body.querySelectorAll("*")].filter(e => !e.closest(".scroll") && e.checkVisibility()
    && e.getBoundingClientRect().right > root.clientWidth + 0.5).map(e => e.outerHTML.slice(0, 120))
  document.getElementById("measured").textContent = JSON.stringify({{
    title: page.title, text: page.body.innerText, width: root.clientWidth, scroll_width: root.scrollWidth, wide,
    active: page.querySelectorAll("script, img, iframe, object, embed, form, base, a[href], style ~ link").length,
    handlers: [...page.querySelectorAll("*")].filter(e => [...e.attributes].some(a => /^on/i.test(a.name))).length,
    fetched: frames[0].performance.getEntriesByType("resource").map(e => e.name),
    drawings: [...page.querySelectorAll("svg")].filter(e => e.checkVisibility()).map(e => e.getAttribute("class")),
  }})
}}
</script>
"""
"""A window of Chromium cannot be as narrow as a phone; a frame can."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a page came to in a frame of some width."""

    measured: dict[str, Any]
    console: list[str]
    """What the browser complained about: refused by the page's policy, among others."""


@dataclass(frozen=True, slots=True)
class Browser:
    """Runs Chromium with a profile of its own each time."""

    program: str
    folder: Path

    def _run(self, page: Path, *flags: str) -> subprocess.CompletedProcess[str]:
        profile = self.folder / "profile"
        command = (self.program, *_FLAGS, f"--user-data-dir={profile}", *flags, page.as_uri())
        try:
            return subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)
        finally:
            shutil.rmtree(profile, ignore_errors=True)

    def see(self, page: Path, width: int = 360, height: int = 800) -> Seen:
        """Open `page` in a frame and measure it there."""
        frame = self.folder / "frame.html"
        frame.write_text(_FRAME.format(page=page.as_uri(), width=width, height=height), encoding="utf-8")
        done = self._run(frame, "--dump-dom")
        found = re.search(r'<pre id="measured">(.*?)</pre>', done.stdout, re.DOTALL)
        assert found, done.stderr
        return Seen(json.loads(unescape(found[1])), [line for line in done.stderr.splitlines() if "CONSOLE" in line])

    def photograph(self, page: Path, scheme: Literal["light", "dark"]) -> bytes:
        """Return a screenshot as PNG."""
        to = self.folder / f"{scheme}.png"
        setting = f"--blink-settings=preferredColorScheme={1 if scheme == 'light' else 0}"
        self._run(page, setting, "--window-size=1000,1200", f"--screenshot={to}")
        return to.read_bytes()

    def print(self, page: Path) -> bytes:
        """Return the page as PDF."""
        to = self.folder / "page.pdf"
        self._run(page, "--no-pdf-header-footer", f"--print-to-pdf={to}")
        return to.read_bytes()


def first_pixel(png: bytes) -> tuple[int, ...]:
    """Return red, green and blue of the top left corner: no filter of PNG changes the first one of the first row."""
    assert png.startswith(b"\x89PNG")
    at, data = 8, b""
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + length]
        at += length + 12
    return tuple(zlib.decompress(data)[1:4])


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    """Return a Chromium; skips where there is none."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed (Debian: apt-get install chromium)")
    folder = tmp_path / "browser"
    folder.mkdir()
    return Browser(program, folder)
