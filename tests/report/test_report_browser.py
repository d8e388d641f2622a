"""A report in a real browser: readable in light and dark, on a phone, and without a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from simcse_kit import train_unsup
from simcse_kit.data import sample_pairs_path
from simcse_kit.report import Page, Section, Table, write_page
from simcse_kit.report.gather import make_report
from simcse_kit.report.render import write_report
from support.browser import Browser, start_chromium

pytestmark = [pytest.mark.slow, pytest.mark.browser]


@pytest.fixture(scope="module")
def page(tiny_model: Callable[[str], Path], sentences: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of a run and of its start."""
    folder = tmp_path_factory.mktemp("report")
    settings = {"pooling": "mean", "eval_data": sample_pairs_path(), "eval_steps": 2, "device": "cpu"}
    train_unsup(sentences, folder / "run", model=str(tiny_model("bert")), batch_size=8, **settings)
    report = make_report([folder / "run", tiny_model("bert")], {"pairs": sample_pairs_path()}, pooling="mean")
    write_report(report, folder / "report.html")
    return folder / "report.html"


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    driver = start_chromium(tmp_path_factory.mktemp("chromium"))
    yield driver
    driver.quit()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_all_text_can_be_read(driver: Any, page: Path, dark: bool) -> None:
    browser = Browser(driver)
    browser.open(page.as_uri(), dark=dark)
    contrasts = browser.contrasts()
    assert len(contrasts) > 40
    assert min(contrasts) >= (4.5,), "WCAG 2.2, level AA"
    paper = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, paper.removeprefix("rgb(").rstrip(")").split(","))) < 128) is dark
    assert len(browser.find("figure svg")) == 6
    assert browser.errors() == []
    assert browser.run("return performance.getEntriesByType('resource').length") == 0


def test_a_phone_scrolls_only_down(driver: Any, page: Path) -> None:
    browser = Browser(driver)
    browser.open(page.as_uri(), width=390, phone=True)
    assert browser.run("return document.documentElement.scrollWidth") <= 390
    widths = browser.run("return [...document.querySelectorAll('figure')].map(node => node.clientWidth)")
    assert max(widths) < 390


def test_printed_it_keeps_to_the_paper(driver: Any, page: Path) -> None:
    browser = Browser(driver)
    browser.open(page.as_uri(), width=718)  # A4 at 96 dots an inch, less the browser's margins
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        wide = browser.run(
            "return [...document.querySelectorAll('table, figure')].filter(n => n.getBoundingClientRect().right > 718)"
            ".map(n => n.textContent.slice(0, 60))"
        )
        assert wide == []
    finally:
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


_BROKEN = """
const broken = [], words = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
while (words.nextNode()) {
  const text = words.currentNode;
  if (text.parentElement.closest("svg, style")) continue;
  for (const {0: word, index} of text.data.matchAll(/[^\\s-]+/g)) {
    const range = document.createRange();
    range.setStart(text, index);
    range.setEnd(text, index + word.length);
    if (new Set([...range.getClientRects()].map(part => Math.round(part.top))).size > 1) broken.push(word);
  }
}
return broken;
"""


@pytest.mark.parametrize("width", [390, 1280])
def test_no_word_is_broken(driver: Any, page: Path, tmp_path: Path, width: int) -> None:
    browser = Browser(driver)
    browser.open(page.as_uri(), width=width, phone=width < 500)
    assert browser.run(_BROKEN) == []
    text = "An extraordinarily straightforward misunderstanding about internationalization"
    table = Table(head=["first sentence", "second sentence", *"abcdef"], rows=[[text, text, *["0.5"] * 6]] * 3, left=2)
    write_page(tmp_path / "page.html", Page(title=text, lead=text, sections=[Section(tables=[table], notes=[text])]))
    browser.open((tmp_path / "page.html").as_uri(), width=width, phone=width < 500)
    assert browser.run(_BROKEN) == []
    assert browser.run("return document.documentElement.scrollWidth") <= width


def test_what_axe_would_check(driver: Any, page: Path) -> None:
    """One main landmark contains everything; scrolling parts have a name and take the focus; no empty heads."""
    browser = Browser(driver)
    browser.open(page.as_uri(), width=390, phone=True)
    assert browser.run("return [...document.body.children].map(node => node.localName)") == ["main"]
    assert browser.run("return document.querySelectorAll('h1').length") == 1
    scrolls = browser.run(
        "return [...document.querySelectorAll('*')].filter(node => node.scrollWidth > node.clientWidth + 1"
        " && getComputedStyle(node).overflowX === 'auto').map(node => [node.tabIndex, node.role, node.ariaLabel])"
    )
    assert scrolls
    assert all(index == 0 and role == "region" and label.strip() for index, role, label in scrolls)
    assert browser.run("return [...document.querySelectorAll('th')].every(node => node.textContent.trim())")
