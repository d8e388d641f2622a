"""Small awkward files and the result of each reader: `awkward/answers.json` is the table of right answers.

A row of the table names a file, a reader, and its rows or a part of its error; ``said`` is a part of its notice, and
without it there must be no notice.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simcse_kit.data import read_examples, read_positives, read_scored_pairs, read_sentences
from simcse_kit.data.prepare import prepare_nli
from simcse_kit.errors import DataError, Notice

FOLDER = Path(__file__).parent / "awkward"
ANSWERS: list[dict[str, Any]] = json.loads((FOLDER / "answers.json").read_text(encoding="utf-8"))


def _scored(path: Path, folder: Path) -> list[tuple[object, ...]]:
    pairs = read_scored_pairs(path)
    return [*zip(pairs.first, pairs.second, pairs.gold.tolist(), strict=True)]


def _nli(path: Path, folder: Path) -> list[tuple[str, ...]]:
    prepare_nli(path, folder / "out.csv", combinations="all")
    return read_examples(folder / "out.csv").rows


READERS: dict[str, Callable[[Path, Path], Any]] = {
    "sentences": lambda path, folder: read_sentences(path).rows,
    "examples": lambda path, folder: read_examples(path).rows,
    "positives": lambda path, folder: read_positives(path).rows,
    "scored": _scored,
    "nli": _nli,
}


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: f"{answer['file']}-{answer['reader']}")
def test_a_file_gives_its_right_answer(answer: dict[str, Any], tmp_path: Path) -> None:
    path = FOLDER / answer["file"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", Notice)
        if "error" in answer:
            with pytest.raises(DataError) as raised:
                READERS[answer["reader"]](path, tmp_path)
            assert answer["error"] in str(raised.value)
            assert answer["file"] in str(raised.value)
        else:
            assert [list(row) for row in READERS[answer["reader"]](path, tmp_path)] == answer["rows"]
    said = [str(one.message) for one in caught if issubclass(one.category, Notice)]
    assert len(said) == ("said" in answer)
    assert all(answer["said"] in text and answer["file"] in text for text in said)


def test_every_file_has_an_answer() -> None:
    files = {path.name for path in FOLDER.iterdir()} - {"answers.json", ".gitattributes"}
    assert files == {answer["file"] for answer in ANSWERS}
