"""`read_positives`: the labelled pairs with the highest label."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from simcse_kit.data import read_positives
from simcse_kit.errors import DataError, Notice

Write = Callable[[str, str | bytes], Path]
ROWS = [("a b", "c", 1), ("d", "e", 0), ("f", "g", 1), ("h", "i", 0)]
POSITIVES = [("a b", "c"), ("f", "g")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", "".join("\t".join(map(str, row)) + "\n" for row in ROWS)),
        ("a.csv", "question1,question2,is_duplicate\n" + "".join(",".join(map(str, row)) + "\n" for row in ROWS)),
        ("b.csv", "is_duplicate,text1,text2\n" + "".join(f"{label},{a},{b}\n" for a, b, label in ROWS)),
        ("a.jsonl", "".join(json.dumps({"anchor": a, "positive": b, "label": y}) + "\n" for a, b, y in ROWS)),
        ("b.jsonl", "".join(json.dumps({"sent0": a, "sent1": b, "label": bool(y)}) + "\n" for a, b, y in ROWS)),
        ("c.csv", "sentence1,sentence2,score\n" + "".join(f"{a},{b},{4.5 * y}\n" for a, b, y in ROWS)),
    ],
)
def test_rows_with_the_highest_label_are_left(write: Write, name: str, content: str) -> None:
    with pytest.warns(Notice, match=rf"{name}: kept 2 of 4 rows, those with the highest label \((1|4\.5)\)"):
        data = read_positives(write(name, content))
    assert (data.rows, data.width) == (POSITIVES, 2)


def test_columns_name_both_texts_and_the_label(write: Write) -> None:
    rows = "".join(f"7,{b},{a},{label}\n" for a, b, label in ROWS)
    path = write("a.csv", "id,answer,question,good\n" + rows)
    assert read_positives(path, columns=("question", "answer", "good")).rows == POSITIVES
    with pytest.raises(DataError, match=r"line 1: found 4 column.*--columns first,second,score.*first row is id: '7'"):
        read_positives(path)


def test_labels_that_mark_no_positive_are_refused() -> None:
    with pytest.raises(DataError, match="all 2 rows have the label 0, so the label marks no positives"):
        read_positives([("a", "b", "0"), ("c", "d", "0")])
    assert read_positives([("a", "b", "1"), ("c", "d", "1")]).rows == [("a", "b"), ("c", "d")]
    with pytest.raises(DataError, match="<memory>, row 2: expected a number as gold score, found 'same'"):
        read_positives([("a", "b", "1"), ("c", "d", "same")])
    assert len(read_positives([("a", "b", "1"), ("c", "d", "same")], skip_bad_rows=True)) == 1
