"""`read_examples`: families of columns, widths, and the faults of each format."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simcse_kit.data import BadRow, read_examples
from simcse_kit.errors import DataError

Write = Callable[[str, str | bytes], Path]


@pytest.mark.parametrize(
    ("header_line", "row", "expected"),
    [
        ("sent0,sent1", "a,b", ("a", "b")),
        ("sent0,sent1,hard_neg", "a,b,c", ("a", "b", "c")),
        ("Anchor,POSITIVE,negative", "a,b,c", ("a", "b", "c")),
        ("id,negative,positive,url,anchor", "1,c,b,x,a", ("a", "b", "c")),
    ],
)
def test_families_of_names(write: Write, header_line: str, row: str, expected: tuple[str, ...]) -> None:
    for header in (None, True):
        assert read_examples(write("a.csv", f"{header_line}\n{row}\n"), header=header).rows == [expected]


def test_without_header_cells_count(write: Write) -> None:
    assert read_examples(write("a.tsv", 'He said "no.\tHe refused.\n')).rows == [('He said "no.', "He refused.")]
    assert read_examples(write("a.csv", "x,y,z\nd,e,f\n"), header=False).rows == [("x", "y", "z"), ("d", "e", "f")]


def test_a_header_without_known_names_asks_for_columns(write: Write) -> None:
    """By position, the category would become the hard negative."""
    path = write("a.csv", "ticket,text,category\nIt broke.,Mend it.,repair\n")
    shown = r".*--columns.*; the first row is ticket: 'It broke\.', text: 'Mend it\.', category: 'repair'$"
    with pytest.raises(DataError, match=rf"line 1: found the columns ticket, text, category;{shown}"):
        read_examples(path, header=True)
    with pytest.raises(DataError, match=rf"cannot tell whether 'ticket, text, category'{shown}"):
        read_examples(path)
    assert read_examples(path, columns=("ticket", "text")).rows == [("It broke.", "Mend it.")]
    with pytest.raises(DataError, match=r"found the columns question, answer; .*the first row is question: 'a'"):
        read_examples(write("b.tsv", "question\tanswer\na\tb\n"), header=True)
    with pytest.raises(DataError, match=r"found 4 columns .*; the first row is id: '1', a: 'b', c: 'd', e: 'f'$"):
        read_examples(write("c.csv", "id,a,c,e\n1,b,d,f\n"))


WAYS = (
    "--objective cosent{0} learns from scored pairs; --positives-only{0} keeps the rows with the highest label; {1} "
    "to use every row as a positive"
)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "question1,question2,is_duplicate\nWhat?,Which?,0\n"),
        ("a.csv", "id,Anchor,positive,Gold label\n7,What?,Which?,0\n"),
        ("a.tsv", "anchor\tpositive\tnegative\tsimilarity_score\nWhat?\tWhich?\tWho?\t0.5\n"),
        ("a.jsonl", '{"anchor": "What?", "positive": "Which?", "label": 0}\n'),
        ("a.jsonl", '{"sent0": "What?", "sent1": "Which?", "score": 0.5}\n'),
        ("a.parquet", '{"anchor": "What?", "positive": "Which?", "quality": 0.5}\n'),
    ],
)
def test_a_column_named_like_a_label_is_refused(write: Write, tmp_path: Path, name: str, content: str) -> None:
    """Its non-duplicates would be positives."""
    path = write(name, content)
    names = list(json.loads(content)) if content.startswith("{") else content.partition("\n")[0].split(",")
    if name == "a.parquet":
        pq = pytest.importorskip("pyarrow.parquet")
        pq.write_table(pytest.importorskip("pyarrow").Table.from_pylist([json.loads(content)]), path)
    names = [cell for part in names for cell in part.split("\t")]
    pair = [
        cell for cell in names if cell.casefold() in ("question1", "question2", "anchor", "positive", "sent0", "sent1")
    ]
    ways = WAYS.format(f" --columns {','.join([*pair, names[-1]])}", f"--columns {','.join(pair)}")
    for header in (None,) if content.startswith("{") else (None, True):
        with pytest.raises(DataError, match=rf"{name}, \w+ 1: column {names[-1]} is named like a label") as caught:
            read_examples(path, header=header)
        assert str(caught.value).endswith(ways)
        assert f"the columns are {', '.join(names)}; the first row is {names[0]}: " in str(caught.value)
    assert read_examples(path, columns=pair).rows == [("What?", "Which?")]


TEXTS = [(f"What is {i}?", f"Which is {i}?") for i in range(16)]


@pytest.mark.parametrize("values", [["0", "1"], ["3.5", "4,5"], ["duplicate", "other"], ["entailment", "neutral", "x"]])
def test_a_third_column_of_labels_is_refused(write: Write, values: list[str]) -> None:
    rows = [(a, b, values[i % len(values)]) for i, (a, b) in enumerate(TEXTS)]
    path = write("a.tsv", "".join("\t".join(row) + "\n" for row in rows))
    for source in (path, rows):
        with pytest.raises(
            DataError, match=r"(line|row) 1: column 3 .*: probably a label, .*; the first row is 'What is 0\?, Which"
        ) as caught:
            read_examples(source)
        assert str(caught.value).endswith(WAYS.format("", "leave the column out"))


def test_ids_and_labels_stand_in_any_column(write: Write) -> None:
    for order in ([2, 0, 1], [0, 2, 1]):
        rows = [[(str(i), *pair)[(place + 1) % 3] for place in order] for i, pair in enumerate(TEXTS)]
        with pytest.raises(DataError, match=rf"column {order.index(2) + 1} of 3 holds numbers"):
            read_examples(write("a.tsv", "".join("\t".join(row) + "\n" for row in rows)))
    with pytest.raises(DataError, match="column 2 of 2 holds numbers"):
        read_examples(write("b.csv", "a,b\nx y,1\nz,2\n"), columns=("a", "b"))
    numbers = [(a, b, "1984" if i < 8 else f"Who is {i}?") for i, (a, b) in enumerate(TEXTS)]
    assert len(read_examples(numbers)) == 16  # texts, some of which are numbers


@pytest.mark.parametrize("names", ["sentence1,sentence2,source", "sent0,hard_neg", "id,a,b"])
def test_position_does_not_overrule_a_name(write: Write, names: str) -> None:
    row = ",".join("a" for _ in names.split(","))
    with pytest.raises(DataError, match=r"found the columns .*--columns"):
        read_examples(write("a.csv", f"{names}\n{row}\n"), header=True)


def test_wrong_width_says_what_fits(write: Write) -> None:
    with pytest.raises(DataError, match=r"line 1: found 1 column .*--columns.*`simcse-kit train unsup`"):
        read_examples(write("a.csv", "One sentence.\n"))
    with pytest.raises(DataError, match=r"found 1 column .*`simcse-kit train unsup`"):
        read_examples(write("a.txt", "One sentence.\n"))
    with pytest.raises(DataError, match=r"line 2: found 4 columns .*--columns"):
        read_examples(write("a.csv", "\na b,c,d,e\n"))
    with pytest.raises(DataError, match="found 4 columns"):  # columns of both families
        read_examples(write("a.csv", "sent0,sent1,anchor,positive\na,b,c,d\n"))


def test_columns_in_the_order_asked_for(write: Write) -> None:
    path = write("a.csv", "x,y,z\n1 a,2 b,3 c\n")
    assert read_examples(path, columns=("z", "x")).rows == [("3 c", "1 a")]
    assert read_examples(path, columns=("z", "X", "y")).rows == [("3 c", "1 a", "2 b")]
    with pytest.raises(DataError, match="no column named 'w'; the columns are x, y, z"):
        read_examples(path, columns=("x", "w"))


def test_short_and_long_rows_name_file_line_and_content(write: Write) -> None:
    long = "A man is playing a guitar on the street while it rains and nobody listens."
    path = write("data.csv", f"sent0,sent1,hard_neg\na,b,c\n\n{long},b\na,b,c,d\ne,f,g\n")
    expected = rf"data\.csv, line 4: expected 3 columns, found 2: '{long[:57]}\.\.\.'"
    with pytest.raises(DataError, match=expected):
        read_examples(path)
    data = read_examples(path, skip_bad_rows=True)
    assert data.rows == [("a", "b", "c"), ("e", "f", "g")]
    assert data.empty == 1
    assert data.skipped[1] == BadRow(5, "expected 3 columns, found 4: 'a, b, c, d'")


def test_empty_cells(write: Write) -> None:
    path = write("a.tsv", "sent0\tsent1\tid\na\tb\t1\n\t\t\n \t\t2\na\t \t3\n")
    with pytest.raises(DataError, match=r"a\.tsv, line 5: cell 2 of 2 is empty: 'a, '"):
        read_examples(path)
    data = read_examples(path, skip_bad_rows=True)
    assert (data.rows, data.empty, [bad.line for bad in data.skipped]) == ([("a", "b")], 2, [5])


def test_lines_are_physical_lines(write: Write) -> None:
    path = write("a.csv", 'sent0,sent1\n"two\nlines","three\n\nlines"\nshort\n')
    with pytest.raises(DataError, match="line 6: expected 2 columns, found 1: 'short'"):
        read_examples(path)
    assert read_examples(path, skip_bad_rows=True).rows == [("two\nlines", "three\n\nlines")]


@pytest.mark.parametrize("broken", ['"never closed,b', '"closed" too early,b', 'a,"b', 'a,"b"x'])
def test_a_broken_quote_costs_its_own_line(write: Write, broken: str) -> None:
    rest = [(f"anchor, {i}", f"positive {i}") for i in range(3000)]
    lines = [f'"{anchor}",{positive}' for anchor, positive in rest]
    path = write("a.csv", "\n".join(['"first, row",b', broken, *lines]))
    with pytest.raises(DataError, match=r"a\.csv, line 2: unbalanced or misplaced \"") as caught:
        read_examples(path)
    assert repr(broken) in str(caught.value)
    data = read_examples(path, skip_bad_rows=True)
    assert data.rows == [("first, row", "b"), *rest]
    assert [bad.line for bad in data.skipped] == [2]


@pytest.mark.parametrize("lines_after", [3, 50_000])  # the end of the file, and csv's limit for one cell
def test_a_quote_open_to_the_end(write: Write, lines_after: int) -> None:
    path = write("a.csv", 'a b,c\n"open,d\n' + "e,f\n" * lines_after)
    with pytest.raises(DataError, match="line 2: unbalanced"):
        read_examples(path)
    assert len(read_examples(path, skip_bad_rows=True)) == 1 + lines_after


def test_other_csv_faults(write: Write) -> None:
    with pytest.raises(DataError, match="line 2: a carriage return outside quotes"):
        read_examples(write("a.csv", "a b,c\nd\re,f\n"))
    with pytest.raises(DataError, match="line 2: a cell is longer than"):
        read_examples(write("a.csv", f"a b,c\n{'d' * 200_000},f\n"))
    with pytest.raises(DataError, match="line 3: invalid UTF-8: byte 0xff at position 1 "):  # where the byte is
        read_examples(write("a.csv", b'a b,c\n"d\n\xff",f\n'))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"sent0": "a", "sent1" "b"}', r"malformed JSON \(Expecting ':' delimiter, column 24\): '{"),
        ('{"sent0": "a", "sent1": null}', "expected a string, found null"),
        ('{"sent0": "a", "sent1": 3}', "expected a string, found 3"),
        ('{"sent0": "a"}', "no sent1 among 'sent0'"),
        ('{"sent0": "a", "sent1": "b", "hard_neg": "c"}', "expected 2 columns as in the first row, found hard_neg too"),
        ('["a", "b"]', "expected a JSON object or string"),
        ('"bare"', "expected an object with sent0, sent1"),
        ('{"sent0": "a", "sent1": "\\ud83d"}', "half a surrogate pair"),
        ("[" * 100_000, "cannot parse JSON"),
    ],
)
def test_json_faults(write: Write, line: str, reason: str) -> None:
    path = write("a.jsonl", f'{{"sent0": "a", "sent1": "b", "id": 1}}\n\n{line}\n{{"sent1": "d", "sent0": "c"}}\n')
    with pytest.raises(DataError, match=rf"a\.jsonl, line 3: {reason}"):
        read_examples(path)
    data = read_examples(path, skip_bad_rows=True)
    assert (data.rows, data.empty) == ([("a", "b"), ("c", "d")], 1)
    assert [bad.line for bad in data.skipped] == [3]


def test_json_without_known_keys(write: Write) -> None:
    path = write("a.jsonl", '{"q": "a", "d": "b"}\n')
    with pytest.raises(DataError, match=r"a\.jsonl, line 1: found the columns q, d; needed: .*--columns"):
        read_examples(path)
    assert read_examples(path, columns=("d", "Q")).rows == [("b", "a")]


def test_sequences_of_tuples() -> None:
    assert read_examples([("a", " b "), ["c", "d"], ("", "")]).rows == [("a", "b"), ("c", "d")]
    with pytest.raises(DataError, match="<memory>, row 2: expected 2 columns, found 3"):
        read_examples([("a", "b"), ("a", "b", "c")])
    with pytest.raises(DataError, match="<memory>, row 1: found 1 column"):
        read_examples(["one sentence"])


characters = st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff;|\t")  # these may be delimiters
cell = st.text(characters).map(lambda text: f"a{text}".strip())  # no numbers: these are labels
tables = st.integers(2, 3).flatmap(lambda width: st.lists(st.tuples(*[cell] * width), min_size=1, max_size=7))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=80)
@given(tables, st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_csv_and_jsonl_give_back_what_was_written(
    write: Write, rows: list[tuple[str, ...]], quoting: Literal[0, 1]
) -> None:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, quoting=quoting).writerows(rows)
    assert read_examples(write("a.csv", buffer.getvalue()), header=False).rows == rows
    names = ("sent0", "sent1", "hard_neg")
    lines = [json.dumps(dict(zip(names, row, strict=False)), ensure_ascii=False) for row in rows]
    data = read_examples(write("a.jsonl", "\n".join(lines)))
    assert data.rows == rows
    assert data.fingerprint() == read_examples(rows).fingerprint()
