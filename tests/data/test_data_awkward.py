"""Awkward files: marks inside a file, line ends of old Macs, zero-width lines, giant lines, other delimiters."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simcse_kit.data import formats, read_examples, read_labelled, read_scored_pairs, read_sentences
from simcse_kit.errors import DataError, Notice

Write = Callable[[str, str | bytes], Path]
MARK = "\ufeff"


def sentences(source: Any, **options: Any) -> list[str]:
    return read_sentences(source, **options).column(0)


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz"])
def test_a_mark_in_mid_file_is_no_text(write: Write, name: str) -> None:
    assert sentences(write(name, f"{MARK}One.\nTwo.\n{MARK}Three.\n{MARK}\n")) == ["One.", "Two.", "Three."]


def test_files_that_were_joined_have_their_header_once(write: Write) -> None:
    part = MARK + '"text","n"\n"One, two.","1"\n'
    path = write("a.csv", part + part)
    with pytest.warns(Notice, match=r"a\.csv, line 3: left out a repeated header"):
        assert sentences(path) == ["One, two.", "One, two."]
    assert read_labelled(write("a.tsv", "text\tlabel\na\tb\n" * 2)).texts == ["a", "a"]
    assert sentences(write("b.csv", "a b\nc\na b\n"), header=False) == ["a b", "c", "a b"]


def test_a_mark_in_mid_line_is_left_out_and_said(write: Write) -> None:
    with pytest.warns(Notice, match=r"a\.txt, line 2: dropped a byte-order mark inside the line"):
        assert sentences(write("a.txt", f"One.\nTwo.{MARK}Three.\n")) == ["One.", "Two.Three."]


CARRIAGE = {
    "a.txt": ("One, two.\rThree.\r\r\rFour.", {}),
    "a.txt.gz": ("One, two.\rThree.\rFour.\r", {}),
    "a.tsv": ("text\tn\rOne, two.\t1\rThree.\t2\rFour.\t3\r", {}),
    "a.csv": ('text,n\r"One, two.",1\rThree.,2\rFour.,3\r', {}),
    "a.jsonl": ('{"text": "One, two."}\r{"text": "Three."}\r{"text": "Four."}\r', {}),
}


@pytest.mark.parametrize("name", CARRIAGE)
def test_carriage_returns_alone_end_lines(write: Write, name: str) -> None:
    with pytest.warns(Notice, match="lines end with a carriage return only"):
        assert sentences(write(name, CARRIAGE[name][0])) == ["One, two.", "Three.", "Four."]


def test_lines_of_carriage_returns_keep_their_numbers_across_blocks(write: Write) -> None:
    lines = [f"sentence {i}" for i in range(20_000)]
    assert sentences(write("a.txt", "\r".join(lines))) == lines
    for ends in ("\r", "\r\r"):  # ends that a block boundary may split
        broken = "\r".join(lines).encode() + ends.encode() + b"\xff\n"
        with pytest.raises(DataError, match=rf"a\.txt, line {20_000 + len(ends)}: invalid UTF-8"):
            sentences(write("a.txt", broken))


@pytest.mark.parametrize(
    "unseen", ["\u200b", "\u200b \u200d", "\u2060\u00ad", "\u3164", "\u2800", "\x1a", "\x00", "\u200e\u202c"]
)
def test_what_cannot_be_seen_is_blank(write: Write, unseen: str) -> None:
    data = read_sentences(write("a.txt", f"One.\n{unseen}\nTwo.{unseen}\n"))
    assert (data.column(0), data.empty) == (["One.", f"Two.{unseen}"], 1)
    with pytest.raises(DataError, match="cell 2 of 2 is empty"):
        read_examples(write("a.tsv", f"A b.\t{unseen}\nc\td\n"))
    assert read_labelled(write("b.tsv", f"text\tlabel\n{unseen}\ta\nx\tb\n")).without_text == 1


def test_a_giant_line_is_named_or_skipped(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "LONGEST_LINE", 1 << 20)
    for name in ("a.txt", "a.txt.gz"):
        path = write(name, "One.\n" + "x" * (3 << 20) + "\nTwo.\n")
        with pytest.raises(DataError, match=rf"{name}, line 2: the line is longer than 1 MiB"):
            sentences(path)
        data = read_sentences(path, skip_bad_rows=True)
        assert (data.column(0), [bad.line for bad in data.skipped]) == (["One.", "Two."], [2])
    assert sentences(write("b.txt", "x" * ((1 << 20) - 1) + "\nTwo.\n"))[1] == "Two."


@pytest.mark.slow
def test_a_gzip_bomb_of_one_line_is_named(tmp_path: Path) -> None:
    """4 GiB in 4 MB: the reader stops when it knows that the line is too long."""
    with gzip.open(tmp_path / "a.txt.gz", "wb", compresslevel=1) as file:
        for _ in range(64):
            file.write(bytes(1 << 26))
    with pytest.raises(DataError, match=r"a\.txt\.gz, line 1: the line is longer than 256 MiB"):
        sentences(tmp_path / "a.txt.gz")


@pytest.mark.parametrize(("sign", "name"), [(";", "semicolons"), ("|", "vertical bars"), ("\t", "tabs")])
def test_other_delimiters_of_csv_are_found_and_said(write: Write, sign: str, name: str) -> None:
    table = f"id{sign}text\r\n1{sign}One house.\r\n2{sign}Two houses, one car.\r\n"
    with pytest.warns(Notice, match=rf"a\.csv: the first lines are separated by {name}"):
        assert sentences(write("a.csv", table)) == ["One house.", "Two houses, one car."]
    assert sentences(write("b.csv.gz", table), columns=["id"]) == ["1", "2"]
    with pytest.raises(DataError, match=r"line 1: found 2 columns \('1, One house\.'\)"):
        sentences(write("c.csv", table.partition("\r\n")[2]))
    pairs = f"A man sings.{sign}He sings.\nIt rains.{sign}Rain, now.\n"
    assert read_examples(write("d.csv", pairs)).rows == [("A man sings.", "He sings."), ("It rains.", "Rain, now.")]
    scored = f"A man.{sign}He.{sign}4\nA dog.{sign}It.{sign}1\n"
    assert read_scored_pairs(write("e.csv", scored)).gold.tolist() == [4, 1]


def test_the_line_that_names_the_delimiter(write: Write) -> None:
    assert sentences(write("a.csv", "sep=;\r\nid;text\r\n1;One house.\r\n")) == ["One house."]
    assert sentences(write("a.csv", 'sep=,\ntext,n\n"a; b",1\n')) == ["a; b"]
    with pytest.raises(DataError, match="line 3: expected 2 columns, found 1"):
        sentences(write("a.csv", "sep=;\nid;text\nshort\n"))


def test_quoted_cells_and_long_records_show_the_delimiter(write: Write) -> None:
    rows = "".join(f'"first; {i}\n\n\nsecond, line";{i}\n' for i in range(40))
    assert len(sentences(write("a.csv", "text;n\n" + rows))) == 40
    commas = "".join(f'"first; {i}",x\n' for i in range(40))
    assert sentences(write("b.csv", "text,n\n" + commas))[1] == "first; 1"


def test_two_delimiters_that_both_fit_are_refused(write: Write) -> None:
    with pytest.raises(DataError, match=r"a\.csv, line 1: both commas and semicolons .*sep="):
        read_examples(write("a.csv", "1;Well, one.\n2;Well, two.\n"))
    with pytest.raises(DataError, match=r"line 2: found 2 columns \('1, Well, one\.'\)"):
        sentences(write("a.csv", "sep=;\n1;Well, one.\n2;Well, two.\n"))


def test_semicolons_in_a_tab_file_are_refused(write: Write) -> None:
    with pytest.raises(DataError, match=r"a\.tsv, line 1: the cells are separated by semicolons, not by tabs .*\.csv"):
        sentences(write("a.tsv", "1;One house is.\n2;Two houses are.\n"))
    assert sentences(write("a.tsv", "One house; two.\nThree.\n")) == ["One house; two.", "Three."]
    assert sentences(write("a.txt", "1;One.\n2;Two.\n")) == ["1;One.", "2;Two."]
