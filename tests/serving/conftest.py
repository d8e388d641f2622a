"""An index to put behind an application."""

from __future__ import annotations

from pathlib import Path

import pytest

from simcse_kit import SentenceIndex, SimCSE

SCRIPT = "<script>document.title = 'owned'</script>"


@pytest.fixture
def index(model: SimCSE, sentences: list[str], tmp_path: Path) -> SentenceIndex:
    """Forty sentences with metadata, and one that is a script, in a folder."""
    texts = [*sentences, SCRIPT]
    made = SentenceIndex.build(model, texts, metadata=[{"number": i, "even": i % 2 == 0} for i in range(len(texts))])
    made.save(tmp_path / "index")
    return made
