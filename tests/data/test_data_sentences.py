"""`read_sentences`: what is kept, what is dropped and what raises an error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simcse_kit.data import BadRow, TextData, read_examples, read_sentences, sample_sentences_path
from simcse_kit.data.rows import is_blank
from simcse_kit.errors import DataError

Write = Callable[[str, str | bytes], Path]


def sentences(source: Any, **options: Any) -> list[str]:
    return read_sentences(source, **options).column(0)


def test_a_data_frame_of_unclear_columns_lists_them() -> None:
    import pandas as pd

    frame = pd.DataFrame({"n": [1, 2], "body": pd.array([pd.NA, "a"], dtype="string")})
    for read in (read_sentences, read_examples):
        with pytest.raises(DataError, match="found the columns n, body"):
            read(frame)  # type: ignore[operator]
    with pytest.raises(DataError, match="row 1: expected a string, found null"):
        sentences(frame, columns=["body"])
    assert sentences(frame["body"][1:]) == ["a"]


def test_blank_lines_are_dropped_and_counted(write: Write) -> None:
    data = read_sentences(write("a.txt", "\n  One sentence. \n \t\n\nTwo\tcells are one sentence here.\n\n"))
    assert data.column(0) == ["One sentence.", "Two\tcells are one sentence here."]
    assert (data.empty, data.skipped, data.width, len(data)) == (4, (), 1, 2)


@pytest.mark.parametrize("inside", ["\u2028", "\u2029", "\x0b", "\x0c", "\x1c", "\x85", "\r", "\xa0"])
@pytest.mark.parametrize("name", ["a.txt", "a.tsv", "a.txt.gz"])
def test_only_a_newline_ends_a_line(write: Write, name: str, inside: str) -> None:
    assert sentences(write(name, f"first part{inside}and more\nsecond\n"), header=False) == [
        f"first part{inside}and more",
        "second",
    ]


@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.tsv", "a.jsonl"])
def test_line_ends_and_byte_order_mark_change_nothing(write: Write, name: str) -> None:
    content = '"Ein schöner Satz."\n\n"Noch einer."\n' if name != "a.txt" else "Ein schöner Satz.\n\nNoch einer.\n"
    plain = read_sentences(write(name, content)).rows
    assert len(plain) == 2
    assert read_sentences(write(name, content.replace("\n", "\r\n"))).rows == plain
    assert read_sentences(write(name, b"\xef\xbb\xbf" + content.encode())).rows == plain
    assert read_sentences(write(name, content.removesuffix("\n"))).rows == plain


def test_bom_before_a_header(write: Write) -> None:
    assert sentences(write("a.csv", "\ufefftext,id\nOne sentence.,1\n")) == ["One sentence."]


def test_invalid_utf8_names_line_byte_and_position(write: Write) -> None:
    path = write("a.txt", b"fine\nnot caf\xe9 \n\nfine too\n")
    with pytest.raises(DataError, match=r"a\.txt, line 2: invalid UTF-8: byte 0xe9 at position 8"):
        read_sentences(path)
    data = read_sentences(path, skip_bad_rows=True)
    assert data.column(0) == ["fine", "fine too"]
    assert data.empty == 1
    assert data.skipped == (BadRow(2, "invalid UTF-8: byte 0xe9 at position 8 of the line; save the file as UTF-8"),)


def test_position_counts_the_byte_order_mark(write: Write) -> None:
    with pytest.raises(DataError, match="position 5 of the line"):
        read_sentences(write("a.txt", b"\xef\xbb\xbfa\xff"))


def test_utf16_is_refused_even_when_skipping(write: Write) -> None:
    with pytest.raises(DataError, match=r"UTF-16.*save it as UTF-8"):
        read_sentences(write("a.txt", "one\ntwo\n".encode("utf-16")), skip_bad_rows=True)


def test_nothing_left(write: Write) -> None:
    with pytest.raises(DataError, match=r"a\.txt holds no sentences; left out 2 empty and 0 skipped"):
        read_sentences(write("a.txt", "\n  \n"))
    with pytest.raises(DataError, match=r"holds no sentences; left out 0 empty and 1 skipped"):
        read_sentences(write("a.txt", b"\xff\n"), skip_bad_rows=True)
    with pytest.raises(DataError, match="holds no sentences"):
        read_sentences(write("a.csv", "text\n"))
    with pytest.raises(DataError, match="holds no sentences"):
        read_sentences([])


@pytest.mark.parametrize(
    ("header_line", "position"),
    [("text", 0), ("id,Text,label", 1), (" SENTENCE ,label", 0), ("sent0,label", 0), ("id,url,title,text", 3)],
)
def test_known_names_make_a_header(write: Write, header_line: str, position: int) -> None:
    row = ["7"] * (header_line.count(",") + 1)
    row[position] = "A sentence."
    assert sentences(write("a.csv", f"{header_line}\n{','.join(row)}\n")) == ["A sentence."]


@pytest.mark.parametrize("header_line", ["text,sentence", "text,text", "sent0,sent1,hard_neg", "text,positive", "a,b"])
def test_two_possible_columns_are_refused(write: Write, header_line: str) -> None:
    count = header_line.count(",") + 1
    path = write("a.csv", f"{header_line}\n" + ",".join(["x y"] * count))
    with pytest.raises(DataError, match=rf"a\.csv, line 1: found {count} columns.*--columns.*`simcse-kit train sup`"):
        read_sentences(path)


def test_a_first_row_that_reads_like_text_is_data(write: Write) -> None:
    assert sentences(write("a.csv", "Stop!\nGo\n")) == ["Stop!", "Go"]
    assert sentences(write("a.tsv", "two words\nGo\n")) == ["two words", "Go"]


def test_a_bare_word_may_be_either(write: Write) -> None:
    path = write("a.csv", "Hello\nA sentence.\n")
    with pytest.raises(DataError, match=r"a\.csv, line 1: cannot tell whether 'Hello'.*--header or --no-header"):
        read_sentences(path)
    assert sentences(path, header=True) == ["A sentence."]
    assert sentences(path, header=False) == ["Hello", "A sentence."]


def test_columns_picks_exactly_or_without_case(write: Write) -> None:
    path = write("a.csv", "Body,body,Title\nupper,lower,t\n")
    assert sentences(path, columns=["body"]) == ["lower"]
    assert sentences(path, columns=["TITLE"]) == ["t"]
    with pytest.raises(DataError, match=r"line 1: more than one column named 'BODY'"):
        read_sentences(path, columns=["BODY"])
    with pytest.raises(DataError, match=r"no column named 'x'; the columns are Body, body, Title"):
        read_sentences(path, columns=["x"])


def test_columns_that_cannot_be_meant(write: Write) -> None:
    path = write("a.txt", "one\n")
    for columns in ["text", ["a", "b"], []]:
        with pytest.raises(DataError, match=r"--columns\) must be 1 column names; got"):
            read_sentences(path, columns=columns)
    with pytest.raises(DataError, match="--no-header"):
        read_sentences(path, columns=["a"], header=False)
    with pytest.raises(DataError, match="no named columns"):
        read_sentences(path, columns=["a"])
    with pytest.raises(DataError, match="cannot have a header"):
        read_sentences(path, header=True)


def test_a_header_that_cannot_be_read_is_never_skipped(write: Write) -> None:
    path = write("a.csv", b"t\xff,b\nOne,two\n")
    with pytest.raises(DataError, match="line 1: invalid UTF-8"):
        read_sentences(path, columns=["b"], skip_bad_rows=True)


def test_wrong_suffix_and_missing_paths(write: Write, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.doc: the suffix must be one of \.txt, \.csv, .*\.parquet"):
        read_sentences(write("a.doc", "x"))
    write("sentences.txt", "x")
    with pytest.raises(DataError, match=r"sentence\.txt does not exist; did you mean sentences\.txt\?"):
        read_sentences(tmp_path / "sentence.txt")
    with pytest.raises(DataError, match=r"does not exist.*hf:NAME"):
        read_sentences(tmp_path / "zzz")
    with pytest.raises(DataError, match=r"neither does the folder"):
        read_sentences(str(tmp_path / "no" / "a.txt"))
    with pytest.raises(DataError, match="is a folder"):
        read_sentences(tmp_path)


def test_broken_gzip(write: Write, tmp_path: Path) -> None:
    (tmp_path / "a.txt.gz").write_bytes(b"plain text")
    with pytest.raises(DataError, match=r"cannot read .*a\.txt\.gz: Not a gzipped file"):
        read_sentences(tmp_path / "a.txt.gz")
    whole = write("b.txt.gz", "".join(f"sentence {i}\n" for i in range(5000)))
    whole.write_bytes(whole.read_bytes()[:-2000])
    with pytest.raises(DataError, match="truncated"):
        read_sentences(whole)


def test_sequences_are_checked_like_files() -> None:
    data = read_sentences([" one ", "", "two"])
    assert data == TextData(rows=[("one",), ("two",)], source="<memory>", empty=1)
    assert read_sentences([("one",), ["two"]]).rows == data.rows  # type: ignore[list-item]
    with pytest.raises(DataError, match=r"<memory>, row 2: .*found null"):
        read_sentences(["one", None])  # type: ignore[list-item]
    with pytest.raises(DataError, match="surrogate"):
        read_sentences(["one \ud83d"])
    assert read_sentences(["one", 2], skip_bad_rows=True).skipped[0].line == 2  # type: ignore[list-item]


def test_fingerprint_sees_cells_rows_order_and_width() -> None:
    rows = [[("ab", "c"), ("d", "e")], [("a", "bc"), ("d", "e")], [("d", "e"), ("ab", "c")], [("ab", "c")]]
    prints = {read_examples(each).fingerprint() for each in rows} | {
        read_sentences(["ab", "c", "d", "e"]).fingerprint()
    }
    assert len(prints) == 5
    assert all(len(each) == 64 for each in prints)


def test_the_sample_reads() -> None:
    assert len(read_sentences(sample_sentences_path())) > 100


characters = st.characters(exclude_categories=["Cs"], exclude_characters="\n\r\ufeff")
text = st.text(characters).map(str.strip).filter(lambda text: not is_blank(text))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(st.lists(text, min_size=1))
def test_a_text_file_gives_back_what_was_written(write: Write, written: list[str]) -> None:
    assert sentences(write("a.txt", "\n".join(written))) == written
    assert sentences(write("a.txt.gz", "\r\n".join(written))) == written
