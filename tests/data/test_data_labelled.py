"""`read_labelled`: one file in every format, dropped rows, and errors that name columns and lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from simcse_kit.data import read_labelled
from simcse_kit.errors import DataError

Write = Callable[[str, str | bytes], Path]
ROWS = [('He said "no', "a"), ("It rains.", "b, c")]


def test_every_format_reads_alike(write: Write, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    tsv = "text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in ROWS)
    pq.write_table(pa.table(dict(zip(("text", "label"), zip(*ROWS, strict=True), strict=True))), tmp_path / "a.parquet")
    files = [
        write("a.tsv", tsv),  # a quote is part of the text
        write("a.tsv.gz", tsv),
        write("a.csv", 'Label,Text\na,"He said ""no"\n"b, c",It rains.\n'),
        write("a.jsonl", "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in ROWS)),
        tmp_path / "a.parquet",
    ]
    for file in files:
        read = read_labelled(file)
        assert [*zip(read.texts, read.labels, strict=True)] == ROWS, file
        assert (read.source, read.without_text, read.without_label) == (str(file), 0, 0)


def test_rows_without_a_text_or_a_label_are_counted(write: Write) -> None:
    read = read_labelled(write("a.tsv", "text\tlabel\nx\ta\n\n\ta\n \t \ny\t\nz\t \nw\tb\n"))
    assert (read.texts, read.labels) == (["x", "w"], ["a", "b"])
    assert (read.without_text, read.without_label) == (3, 2)
    rows = [{"text": "x", "label": None}, {"text": None, "label": 1}, {"text": "y", "label": 1}]
    read = read_labelled(write("a.jsonl", "".join(json.dumps(row) + "\n" for row in rows)))
    assert (read.texts, read.labels, read.without_text, read.without_label) == (["y"], ["1"], 1, 1)


def test_labels_are_names(write: Write) -> None:
    values = [17, 17.0, "17", True]
    path = write("a.jsonl", "".join(json.dumps({"text": "x", "label": value}) + "\n" for value in values))
    assert read_labelled(path).labels == ["17", "17", "17", "True"]
    for value, shown in ((0.5, "0.5"), ([1], "'1'")):
        path = write("a.jsonl", json.dumps({"text": "x", "label": value}) + "\n")
        with pytest.raises(DataError, match=rf"a\.jsonl, line 1: expected a class label.* found {shown}"):
            read_labelled(path)


def test_the_text_column_is_named_or_known_or_the_only_other_one(write: Write, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = write("a.csv", "id,sentence,title,intent\n1,x,t,a\n")
    assert read_labelled(table, label_column="intent").texts == ["x"]
    assert read_labelled(table, label_column="Intent", text_column="title").texts == ["t"]
    assert read_labelled(write("b.csv", "utterance,intent\nx,a\n"), label_column="intent").texts == ["x"]
    pq.write_table(pa.table({"utterance": ["x"], "intent": [3]}), tmp_path / "b.parquet")
    assert read_labelled(tmp_path / "b.parquet", label_column="intent").labels == ["3"]
    with pytest.raises(DataError, match="text and label are the same column, 'intent'; name two columns"):
        read_labelled(table, label_column="intent", text_column="Intent ")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.tsv",
            "text\tintent\nIt rains.\tweather\n",
            r"a\.tsv, line 1: no column named 'label'; the columns are text, intent; the first row is "
            r"text: 'It rains\.', intent: 'weather'; name columns with --label-column and --text-column$",
        ),
        (
            "a.jsonl",
            '{"body": "It rains.", "title": "x", "label": 3}\n',
            r"a\.jsonl, line 1: cannot find the text column: no column, .* is named text, sentence.*; the columns are "
            r"body, title, label; the first row is body: 'It rains\.', title: 'x', label: 3; name columns with",
        ),
        ("a.txt", "It rains.\n", r"a\.txt has no named columns; cannot select label$"),
        ("a.tsv", "text\tlabel\nx\ta\ty\n", r"a\.tsv, line 2: expected 2 columns, found 3"),
        (
            "a.tsv",
            "text\tlabel\nx\t\n\ty\n",
            r"a\.tsv holds no labelled texts; left out 1 row without a text",
        ),
        ("a.tsv", "", r"a\.tsv holds no labelled texts"),
    ],
)
def test_a_fault_is_named(write: Write, name: str, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_labelled(write(name, content))
