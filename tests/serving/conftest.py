"""An index to put behind an application."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simcse_kit import SentenceIndex, SimCSE
from support.browser import Browser, start_chromium

SCRIPT = "<script>document.title = 'owned'</script>"


@pytest.fixture
def index(model: SimCSE, sentences: list[str], tmp_path: Path) -> SentenceIndex:
    """Forty sentences with metadata, and one that is a script, in a folder."""
    texts = [*sentences, SCRIPT]
    made = SentenceIndex.build(model, texts, metadata=[{"number": i, "even": i % 2 == 0} for i in range(len(texts))])
    made.save(tmp_path / "index")
    return made


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    driver = start_chromium(tmp_path_factory.mktemp("chromium"))
    yield driver
    driver.quit()


@pytest.fixture
def browser(driver: Any) -> Iterator[Browser]:
    """Every test ends without unread errors in the console."""
    browser = Browser(driver)
    browser.errors()
    yield browser
    assert browser.errors() == []
