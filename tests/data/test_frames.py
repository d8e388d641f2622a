"""Tables of pandas and Arrow as training data and metadata; missing and odd cells raise errors that name them."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from simcse_kit import DataError, SearchIndexError, SentenceIndex, SimCSE, train_sup
from simcse_kit.data import read_examples, read_sentences
from simcse_kit.data.labelled import read_labelled
from simcse_kit.workflows.texts import read_texts

PAIRS = pd.DataFrame({"id": [7, 8], "anchor": ["A man sings.", "It rains."], "positive": ["He sings.", "Wet."]})


@pytest.fixture(scope="module")
def model(tiny_model: Callable[[str], Path]) -> SimCSE:
    return SimCSE(tiny_model("bert"), pooling="mean", device="cpu")


def test_pairs_of_a_table_are_found_by_their_names() -> None:
    expected = [("A man sings.", "He sings."), ("It rains.", "Wet.")]
    for table in (PAIRS, pa.Table.from_pandas(PAIRS), PAIRS.set_index("id")):
        assert read_examples(table).rows == expected
    swapped = read_examples(PAIRS, columns=["positive", "anchor"])
    assert swapped.rows == [pair[::-1] for pair in expected]


def test_sentences_and_classes_of_a_table() -> None:
    table = pd.DataFrame({"text": [" One. ", "Two."], "class": pd.Categorical(["a", "b"]), "n": [1, 2]})
    assert read_sentences(table).rows == [("One.",), ("Two.",)]
    assert read_labelled(table, label_column="class", text_column="text").labels == ["a", "b"]
    assert read_labelled(table, label_column="n", text_column="text").labels == ["1", "2"]


def test_a_missing_cell_is_named_by_its_row() -> None:
    table = PAIRS.assign(positive=["He sings.", None])
    with pytest.raises(DataError, match="<memory>, row 2: expected a string, found null"):
        read_examples(table)
    assert len(read_examples(table, skip_bad_rows=True).skipped) == 1
    dated = pd.DataFrame({"text": pd.to_datetime(["2026-01-01"])})
    with pytest.raises(DataError, match="row 1: expected a string, found 2026-01-01"):
        read_sentences(dated)


def test_columns_that_are_not_clear_are_listed() -> None:
    with pytest.raises(DataError, match="found the columns first, second"):
        read_examples(pd.DataFrame({"first": ["a"], "second": ["b"], "third": ["c"], "fourth": ["d"]}))


def test_training_from_a_table_equals_training_from_tuples(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    rows = [(f"sentence {i} of many", f"number {i} of some") for i in range(16)]
    settings = {"model": str(tiny_model("bert")), "pooling": "mean", "epochs": 1, "batch_size": 8, "device": "cpu"}
    train_sup(rows, tmp_path / "rows", **settings)
    train_sup(pd.DataFrame(rows, columns=["anchor", "positive"]), tmp_path / "table", **settings)
    vectors = [SimCSE(tmp_path / name, device="cpu").encode(["A man sings."]) for name in ("rows", "table")]
    np.testing.assert_array_equal(*vectors)


def test_adapt_reads_title_and_text_of_a_table() -> None:
    table = pd.DataFrame({"title": [f"title {i}" for i in range(60)], "text": [f"body of {i}" for i in range(60)]})
    found = read_texts(table)
    assert found.parts is not None
    assert found.parts[0] == ("title 0", "body of 0")
    classes = read_texts(table.assign(kind=["a", "b"] * 30).drop(columns="title"), label_column="kind")
    assert classes.labels is not None
    assert classes.labels[:2] == ["a", "b"]


def test_a_table_is_metadata(model: SimCSE) -> None:
    table = pd.DataFrame(
        {
            "lang": ["en", None, "de"],
            "year": [2024, 2025, np.nan],
            "when": [pd.Timestamp("2026-01-02"), pd.NaT, pd.Timestamp("2026-01-03T10:00")],
            "count": [1, 2, 3],
        },
        index=[5, 6, 9],
    )
    index = SentenceIndex.build(model, pd.Series(["one", "two", "three"], index=[5, 6, 9]), metadata=table)
    assert [row.metadata for row in index.get([0, 1, 2])] == [
        {"lang": "en", "year": 2024.0, "when": "2026-01-02T00:00:00", "count": 1},
        {"year": 2025.0, "count": 2},
        {"lang": "de", "when": "2026-01-03T10:00:00", "count": 3},
    ]
    assert [hit.text for hit in index.search("one", filter={"when": {"$gte": "2026-01-03"}})] == ["three"]
    with pytest.raises(SearchIndexError, match="1 texts need 1 metadata objects; got 3"):
        index.add(["four"], metadata=table)


def test_values_of_numpy_and_dates_are_stored(model: SimCSE) -> None:
    row = {"n": np.int64(3), "x": np.float32(1.5), "yes": np.bool_(True), "day": datetime.date(2026, 1, 2), "no": None}
    index = SentenceIndex.build(model, ["one"], metadata=[row])
    assert index.get([0])[0].metadata == {"n": 3, "x": 1.5, "yes": True, "day": "2026-01-02", "no": None}
    with pytest.raises(SearchIndexError, match="metadata number 0: x is nan, which JSON does not support"):
        index.add(["two"], metadata=[{"x": float("nan")}])
    assert len(index) == 1
