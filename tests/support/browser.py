"""The server on a free port, and a headless offline Chromium that opens its page."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from simcse_kit import SentenceIndex

T = TypeVar("T")
SECONDS = 15.0  # for what the page has to show; it takes tenths of one

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

_COLORS = """
const pen = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
const bytes = color => {
  pen.clearRect(0, 0, 1, 1);
  pen.fillStyle = color;
  pen.fillRect(0, 0, 1, 1);
  return [...pen.getImageData(0, 0, 1, 1).data];
};
"""

_CONTRASTS = """
const linear = c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4;
const luminance = ([r, g, b]) => .2126 * linear(r / 255) + .7152 * linear(g / 255) + .0722 * linear(b / 255);
const ground = node => {
  if (!node) return [255, 255, 255];
  const color = bytes(getComputedStyle(node).backgroundColor);
  return color[3] === 255 ? color : ground(node.parentElement);
};
const found = [];
for (const node of document.querySelectorAll("body *")) {
  const own = [...node.childNodes].filter(child => child.nodeType === Node.TEXT_NODE);
  const said = own.map(child => child.textContent.trim()).join("");
  if (!said || !node.checkVisibility() || node.closest(".unseen, script, style")) continue;
  const pair = [luminance(bytes(getComputedStyle(node).color)), luminance(ground(node))];
  found.push([(Math.max(...pair) + .05) / (Math.min(...pair) + .05), said.slice(0, 40)]);
}
return found;
"""

_PIXELS = """
const canvas = [...document.querySelectorAll(".map canvas")].filter(each => each.clientWidth)[arguments[0]];
const {width, height} = canvas;
const copy = Object.assign(document.createElement("canvas"), {width, height});
const read = copy.getContext("2d", {willReadFrequently: true});
read.drawImage(canvas, 0, 0);
const {data} = read.getImageData(0, 0, width, height);
const [accent, mark] = ["--accent", "--mark"].map(name => bytes(getComputedStyle(canvas).getPropertyValue(name)));
const count = {drawn: 0, hits: 0, query: 0, sum: 0};
for (let i = 0; i < data.length; i += 4) {
  if (data[i + 3] === 0) continue;
  const is = color => color.every((byte, c) => Math.abs(byte - data[i + c]) < 5);
  count.drawn++;
  count.sum = (count.sum * 31 + i) % 1000000007;
  if (is(accent)) count.hits++;
  if (is(mark)) count.query++;
}
return count;
"""


@contextmanager
def serving(
    folders: Sequence[Path], *, writable: bool = False, api_key: str | None = None, **judged: Any
) -> Iterator[str]:
    """The address of a server of the indexes in these folders; stops the server afterwards."""
    uvicorn = pytest.importorskip("uvicorn", reason="needs the extra serve")
    from simcse_kit.serving import create_app

    indexes = {folder.name: SentenceIndex.open(folder) for folder in folders}
    app = create_app(indexes, writable=writable, api_key=api_key, **judged)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join(SECONDS)


def start_chromium(folder: Path) -> Any:
    """A driver with a fresh profile in ``folder``; skips the test if no browser is found."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium (the extra dev)")
    from selenium.webdriver.chrome.service import Service

    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("needs chromium and chromedriver (apt install chromium chromium-driver)")
    os.environ["SE_OFFLINE"] = "true"  # selenium's manager looks for a newer driver otherwise
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={folder}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=Service(driver))


class Browser:
    """What the tests do with a page: open, type, read, wait."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, url: str, *, width: int = 1280, height: int = 900, phone: bool = False, dark: bool = False) -> None:
        """A freshly opened page, without motion; the storage of its origin is cleared."""
        self.driver.get("about:blank")  # otherwise another hash is the same page
        self._tell("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        features = {"prefers-color-scheme": "dark" if dark else "light", "prefers-reduced-motion": "reduce"}
        self._tell(
            "Emulation.setEmulatedMedia",
            features=[{"name": name, "value": value} for name, value in features.items()],
        )
        self.driver.get(url)

    def _tell(self, command: str, **values: Any) -> None:
        self.driver.execute_cdp_cmd(command, values)

    def run(self, script: str, *values: Any) -> Any:
        """What a script returns."""
        return self.driver.execute_script(script, *values)

    def wait(self, condition: Callable[[], T], what: str) -> T:
        """The condition's first true value."""
        until = time.monotonic() + SECONDS
        while True:
            value = condition()
            if value:
                return value
            assert time.monotonic() < until, f"in vain: {what}; the page says: {self.text('body')}"
            time.sleep(0.05)

    def find(self, selector: str) -> list[Any]:
        """Elements."""
        return self.driver.find_elements("css selector", selector)

    def text(self, selector: str) -> str:
        """Text of the first matching element; empty if there is none yet."""
        found = self.find(selector)
        return found[0].text if found else ""

    def texts(self, selector: str) -> list[str]:
        """The text content of each, as it was stored."""
        return self.run("return [...document.querySelectorAll(arguments[0])].map(node => node.textContent)", selector)

    def press(self, *keys: str) -> None:
        """Keys, on whatever has the focus."""
        from selenium.webdriver.common.keys import Keys

        for key in keys:
            self.driver.switch_to.active_element.send_keys(getattr(Keys, key, key))

    def hits(self, question: str, column: int = 0) -> list[str]:
        """Texts of the hits, once they answer this question."""

        def answered() -> list[str]:
            return self.run(
                "const column = columns[arguments[1]];"
                "const [query, , , like] = JSON.parse(column?.answered || '[]');"
                "return query === arguments[0] && !like"
                " ? [...column.list.querySelectorAll('.text')].map(node => node.textContent) : []",
                question,
                column,
            )

        return self.wait(answered, f"hits of {question!r}")

    def contrasts(self) -> list[tuple[float, str]]:
        """The contrast of every visible text with its background, and the text's beginning."""
        return [(contrast, said) for contrast, said in self.run(_COLORS + _CONTRASTS)]

    def pixels(self, number: int = 0) -> dict[str, int]:
        """Of a map's canvas: pixels drawn, in the colour of hits, of the query, and a sum over where they are."""
        return self.run(_COLORS + _PIXELS, number)

    def errors(self) -> list[str]:
        """Errors and warnings of the console since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
