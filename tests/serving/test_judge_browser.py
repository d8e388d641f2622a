"""Judging on the page in a real browser: clicks and keys become marks on the disk, and a reload continues."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from simcse_kit import SentenceIndex, SimCSE
from simcse_kit.evaluation.judgements import JudgedQuery, read_judgements, text_id
from support.browser import Browser, serving
from support.tiny import SENTENCES

pytestmark = [pytest.mark.slow, pytest.mark.browser]

SCRIPT = "<script>window.ran = 'script'</script> a cat & a dog"
QUERIES = ["a cat & <b>a dog</b>", "late trains", "salt in the soup", "the old house"]


@pytest.fixture(scope="module")
def folders(tiny_model: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two indexes of the same sentences by two models."""
    folder = tmp_path_factory.mktemp("indexes")
    for name, kind in (("before", "bert"), ("after", "roberta")):
        model = SimCSE(tiny_model(kind), pooling="mean", device="cpu")
        SentenceIndex.build(model, [SCRIPT, *SENTENCES[:8]]).save(folder / name)
    return folder / "before", folder / "after"


@pytest.fixture
def judged(folders: tuple[Path, Path], tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server, and where it keeps the judgements."""
    with serving(folders, writable=True, judgements=tmp_path / "judged", queries=iter(QUERIES)) as url:
        yield url, tmp_path / "judged"


def saved(folder: Path, query: str) -> JudgedQuery:
    return read_judgements(folder).queries[text_id(query)]


def asks(browser: Browser, query: str) -> list[str]:
    """The hits, once the page asks this query."""
    browser.wait(lambda: browser.text("#question") == query, f"the question {query!r}")
    return browser.texts("#judged .text")


def pressed(browser: Browser) -> list[bool]:
    return [node.get_attribute("aria-pressed") == "true" for node in browser.find("#judged button")]


def test_clicks_mark_and_a_reload_goes_on(browser: Browser, judged: tuple[str, Path]) -> None:
    url, folder = judged
    browser.open(url)
    browser.wait(lambda: browser.find("#tab-judge")[0].is_displayed(), "the tab")
    browser.find("#tab-judge")[0].click()
    hits = asks(browser, QUERIES[0])
    assert SCRIPT in hits  # as text
    assert browser.run("return window.ran") is None
    assert {text_id(text) for text in hits} == set(saved(folder, QUERIES[0]).pool)
    for place in (1, 2):
        browser.find("#judged button")[place].click()
    wanted = {text_id(hits[place]) for place in (1, 2)}
    browser.wait(lambda: saved(folder, QUERIES[0]).relevant == wanted, "the marks on the disk")
    browser.driver.refresh()
    assert asks(browser, QUERIES[0]) == hits
    assert pressed(browser) == [place in (1, 2) for place in range(len(hits))]
    browser.find("#judged button")[1].click()  # takes the mark away
    browser.press("ENTER")
    asks(browser, QUERIES[1])
    assert saved(folder, QUERIES[0]).state == "judged"
    assert saved(folder, QUERIES[0]).relevant == {text_id(hits[2])}
    assert browser.texts("#verdict p")[-1] == "1 query judged"
    browser.find("#undo")[0].click()
    asks(browser, QUERIES[0])
    assert pressed(browser)[2]
    browser.driver.refresh()
    asks(browser, QUERIES[0])
    for name in ("before", "after"):
        assert name not in browser.text("#judge").partition("nDCG")[0]  # blind


def test_keys_judge_without_a_pointer(browser: Browser, judged: tuple[str, Path]) -> None:
    url, folder = judged
    browser.open(f"{url}#tab=judge")
    hits = asks(browser, QUERIES[0])
    browser.press("1", "3", "1")
    browser.press("ENTER")
    asks(browser, QUERIES[1])
    assert saved(folder, QUERIES[0]).relevant == {text_id(hits[2])}
    browser.find("#skip")[0].click()
    asks(browser, QUERIES[2])
    assert saved(folder, QUERIES[1]).state == "skipped"
    browser.press("u")
    asks(browser, QUERIES[1])
    browser.press("ENTER")
    asks(browser, QUERIES[2])
    browser.find("#own-query")[0].send_keys("s1u a boat")  # typing is no judging
    browser.press("ENTER")
    asks(browser, "s1u a boat")
    assert saved(folder, QUERIES[2]).relevant == frozenset()
    for query in ("s1u a boat", *QUERIES[2:]):
        asks(browser, query)
        browser.press("ENTER")
    browser.wait(lambda: "There are no more queries" in browser.text("#judge-words"), "the end")
    assert not browser.find("#next")[0].is_enabled()
    browser.find("#own-query")[0].send_keys("late  trains")
    browser.press("ENTER")
    browser.wait(lambda: "is already judged" in browser.text("#judge-words"), "the reason")
    assert len(browser.errors()) == 1  # the answer 422


def test_it_can_be_read(browser: Browser, judged: tuple[str, Path]) -> None:
    for dark, phone in ((False, False), (True, True)):
        browser.open(f"{judged[0]}#tab=judge", dark=dark, phone=phone, width=380 if phone else 1280)
        asks(browser, QUERIES[0])
        browser.find("#judged button")[0].click()
        assert all(contrast >= 4.5 for contrast, _ in browser.contrasts())
        assert browser.run("return document.documentElement.scrollWidth <= innerWidth")


def test_without_a_folder_there_is_no_tab(browser: Browser, folders: tuple[Path, Path]) -> None:
    with serving(folders, writable=True) as url:
        browser.open(f"{url}#tab=judge")
        browser.wait(lambda: browser.find(".column"), "the page")
        assert not browser.find("#tab-judge")[0].is_displayed()
        assert browser.find("#finder")[0].is_displayed()
