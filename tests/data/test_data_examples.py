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
        ("id,negative,positive,label,anchor", "1,c,b,x,a", ("a", "b", "c")),
        ("anchor,positive,label", "a,b,1", ("a", "b")),
    ],
)
def test_families_of_names(write: Write, header_line: str, row: str, expected: tuple[str, ...]) -> None:
    for header in (None, True):
        assert read_examples(write("a.csv", f"{header_line}\n{row}\n"), header=header).rows == [expected]


def test_without_header_cells_count(write: Write) -> None:
    assert read_examples(write("a.tsv", 'He said "no.\tHe refused.\n')).rows == [('He said "no.', "He refused.")]
    assert read_examples(write("a.csv", "x,y,z\nd,e,f\n"), header=False).rows == [("x", "y", "z"), ("d", "e", "f")]
    assert read_examples(write("a.csv", "x,y,z\nd,e,f\n"), header=True).rows == [("d", "e", "f")]
    with pytest.raises(DataError, match=r"cannot tell whether 'x, y, z' .*--header or --no-header"):
        read_examples(write("a.csv", "x,y,z\nd,e,f\n"))


@pytest.mark.parametrize("names", ["sentence1,sentence2,score", "sent0,hard_neg", "id,a,b"])
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
    with pytest.raises(DataError, match="found 4 columns"):  # both families: which one?
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
        ("[" * 100_000, "JSON that cannot be read"),
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


cell = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufeff")).map(str.strip).filter(bool)
tables = st.integers(2, 3).flatmap(lambda width: st.lists(st.tuples(*[cell] * width), min_size=1))


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
