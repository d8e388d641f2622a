"""The page in a real browser: the choice between meaning, words and both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simcse_kit import SentenceIndex, SimCSE
from support.browser import Browser, serving

pytestmark = [pytest.mark.slow, pytest.mark.browser]

CODE = "The update ended with error 0x80070057."


@pytest.fixture(scope="module")
def folders(model: SimCSE, sentences: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An index with keywords, and one without."""
    folder = tmp_path_factory.mktemp("indexes")
    for name, hybrid in (("both", True), ("meaning", False)):
        SentenceIndex.build(model, [*sentences, CODE], hybrid=hybrid).save(folder / name)
    return folder / "both", folder / "meaning"


@pytest.fixture(scope="module")
def url(folders: tuple[Path, Path]) -> Iterator[str]:
    with serving(folders[:1]) as address:
        yield address


def choose(browser: Browser, words: str) -> None:
    label = next(label for label in browser.find("#modes label") if label.text == words)
    label.click()


def answered(browser: Browser, mode: str, column: int = 0) -> list[dict[str, Any]]:
    """The hits on the page, once they are those of a mode."""
    browser.wait(
        lambda: browser.run(
            "return JSON.parse(columns[arguments[1]]?.answered || '[]')[4] === arguments[0]", mode, column
        ),
        f"hits by {mode}",
    )
    found: list[dict[str, Any]] = browser.run("return columns[arguments[0]].hits", column)
    return found


def test_words_and_both_are_a_choice_that_the_address_keeps(
    browser: Browser, url: str, folders: tuple[Path, Path]
) -> None:
    index, query = SentenceIndex.open(folders[0]), "error 0x80070057"
    browser.open(url)
    browser.wait(lambda: browser.find("#modes")[0].is_displayed(), "the choice")
    browser.press(query)
    browser.hits(query)
    assert [hit["id"] for hit in answered(browser, "dense")] == [hit.id for hit in index.search(query, 10)]
    assert "by words" not in browser.text(".column")
    assert browser.find("#threshold")[0].is_displayed()
    choose(browser, "words")
    assert [hit["text"] for hit in answered(browser, "keyword")] == [CODE]
    assert "by meaning –, by words 1" in browser.text(".hit .facts")
    assert not browser.find("#threshold")[0].is_displayed()  # a cosine
    choose(browser, "both")
    found = answered(browser, "hybrid")
    assert [hit["id"] for hit in found] == [hit.id for hit in index.search(query, 10, mode="hybrid")]
    assert found[0]["text"] == CODE
    assert f"by meaning {found[0]['dense_rank']}, by words 1" in browser.text(".hit .facts")
    assert "mode=hybrid" in browser.driver.current_url
    browser.driver.refresh()
    assert answered(browser, "hybrid") == found
    assert all(contrast >= 4.5 for contrast, _ in browser.contrasts())


def test_more_like_this_is_by_meaning(browser: Browser, url: str, folders: tuple[Path, Path]) -> None:
    browser.open(f"{url}#mode=keyword&q=0x80070057")
    (hit,) = answered(browser, "keyword")
    browser.find(".hit .more")[0].click()
    browser.wait(lambda: browser.text("#like").startswith("More like"), "the question")
    expected = SentenceIndex.open(folders[0]).similar(hit["id"], 10)
    browser.wait(
        lambda: browser.run("return columns[0].hits.map(hit => hit.id)") == [one.id for one in expected], "its hits"
    )
    assert not browser.find("#modes")[0].is_displayed()


def test_no_word_is_said_in_words(browser: Browser, url: str) -> None:
    browser.open(f"{url}#mode=keyword&q=zzz")
    assert answered(browser, "keyword") == []
    browser.wait(lambda: browser.text(".status") == "No sentence with one of these words.", "words")


def test_an_index_without_keywords_is_searched_by_meaning(browser: Browser, folders: tuple[Path, Path]) -> None:
    with serving(folders[1:]) as url:
        browser.open(f"{url}#mode=keyword&q=the+cat")
        assert len(answered(browser, "keyword")) == 10
        assert not browser.find("#modes")[0].is_displayed()
    with serving(folders) as url:
        browser.open(f"{url}#mode=keyword&q=0x80070057")
        assert len(answered(browser, "keyword")) == 1
        assert len(answered(browser, "keyword", 1)) == 10
        assert browser.find("#modes")[0].is_displayed()
        assert browser.find("#threshold")[0].is_displayed()  # of the other
