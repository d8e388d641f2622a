"""`read_scored_pairs`: public layouts, your own files, and faulty scores."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from simcse_kit.data import read_scored_pairs, sample_pairs_path, sample_search_path
from simcse_kit.errors import DataError

Write = Callable[[str, str | bytes], Path]

STSB = 'news\tMSRpar\t2012\t0001\t3.5\tHe said " no .\tHe refused .\nnews\tx\t2012\t2\t0\ta\tb\tlicence\tmore\n'
KORSTS = "genre\tfilename\tyear\tid\tscore\tsentence1\tsentence2\nnews\tMSRpar\t2012\t1\t3.5\t하나 둘\t셋\n"
SICK = "pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment\n1\ta b\tc\t3.5\tNEUTRAL\n"


@pytest.mark.parametrize("name", ["sts-dev.csv", "sts-dev.tsv", "sts-dev.txt", "sts-dev.csv.gz"])
def test_sts_benchmark_is_tab_separated_whatever_its_name(write: Write, name: str) -> None:
    pairs = read_scored_pairs(write(name, STSB))
    assert pairs.first == ['He said " no .', "a"]
    assert pairs.second == ["He refused .", "b"]
    assert pairs.gold.dtype == np.float64
    assert pairs.gold.tolist() == [3.5, 0.0]
    assert pairs.source.endswith(name)


@pytest.mark.parametrize("name", ["a.txt", "a.tsv", "a.csv"])
@pytest.mark.parametrize(("content", "first"), [(KORSTS, "하나 둘"), (SICK, "a b")])
@pytest.mark.parametrize("header", [None, True])
def test_korsts_and_sick(write: Write, name: str, content: str, first: str, header: bool | None) -> None:
    pairs = read_scored_pairs(write(name, content.replace("\n", "\r\n")), header=header)
    assert (pairs.first, pairs.gold.tolist(), pairs.dropped) == ([first], [3.5], 0)


@pytest.mark.parametrize(
    "names",
    [
        "sentence1,sentence2,score",
        "Text1,Text2,Gold",
        "sentence_A,sentence_B,similarity",
        "text1,text2,label",
        "sentence1,sentence2,similarity_score",
        "sentence1,sentence2,relatedness_score",
    ],
)
def test_names_of_own_files(write: Write, names: str) -> None:
    for order in ([0, 1, 2], [2, 0, 1]):
        cells = [["a, a", "b", "0.25"][i] for i in order]
        header = ",".join(names.split(",")[i] for i in order)
        pairs = read_scored_pairs(write("a.csv", header + "\n" + ",".join(f'"{cell}"' for cell in cells)))
        assert (pairs.first, pairs.second, pairs.gold.tolist()) == (["a, a"], ["b"], [0.25])


def test_a_label_beside_a_score_is_a_class(write: Write) -> None:
    pairs = read_scored_pairs(write("a.csv", "label,sentence_A,sentence_B,relatedness_score\n2,a,b,4.5\n"))
    assert pairs.gold.tolist() == [4.5]
    with pytest.raises(DataError, match=r"line 1: found 4 column.*or rename them"):
        read_scored_pairs(write("a.csv", "score,sentence_A,sentence_B,relatedness_score\n2,a,b,4.5\n"))


@pytest.mark.parametrize("content", ["a b,c,0.5\nd,e,1\n", "0.5,a b,c\n1,d,e\n"])
def test_three_columns_with_the_score_at_either_end(write: Write, content: str) -> None:
    pairs = read_scored_pairs(write("a.csv", content))
    assert (pairs.first, pairs.second, pairs.gold.tolist()) == (["a b", "d"], ["c", "e"], [0.5, 1.0])
    tabbed = read_scored_pairs(write("a.tsv", content.replace(",", "\t")), header=False)
    assert (tabbed.first, tabbed.gold.tolist()) == (pairs.first, pairs.gold.tolist())


def test_columns_name_first_second_and_score(write: Write) -> None:
    path = write("a.csv", "x,y,z\n1,a,b\n")
    pairs = read_scored_pairs(path, columns=("z", "y", "x"))
    assert (pairs.first, pairs.second, pairs.gold.tolist()) == (["b"], ["a"], [1.0])
    with pytest.raises(DataError, match="must be 3 column names"):
        read_scored_pairs(path, columns=("z", "y"))


def test_pairs_without_gold_and_blank_rows_are_counted(write: Write) -> None:
    pairs = read_scored_pairs(write("a.tsv", "a b\tc\t\n\nd\te\t2\n \t\t\nf\tg\t \n"))
    assert (pairs.first, pairs.dropped) == (["d"], 4)
    pairs = read_scored_pairs(
        write("a.jsonl", '{"text1": "a", "text2": "b", "score": null}\n{"text1": "c", "text2": "d", "score": "3"}\n')
    )
    assert (pairs.first, pairs.gold.tolist(), pairs.dropped) == (["c"], [3.0], 1)
    with pytest.raises(DataError, match=r"holds no scored pairs; left out 1 empty"):
        read_scored_pairs(write("a.tsv", "a b\tc\t\n"))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a,b,high", "expected a number as gold score, found 'high'"),
        ("a,b,nan", "the gold score must be finite, found 'nan'"),
        ("a,b,-inf", "the gold score must be finite, found '-inf'"),
        ('a,b,"3,5"', "expected a number as gold score, found '3,5'"),
        ("a,,1", "a sentence is empty: 'a, , 1'"),
        ("a,1", "expected 3 columns, found 2: 'a, 1'"),
    ],
)
@pytest.mark.parametrize("header", ["sentence1,sentence2,score\n", ""])
def test_faulty_rows_name_file_and_line(write: Write, header: str, row: str, reason: str) -> None:
    with pytest.raises(DataError, match=rf"a\.csv, line {4 if header else 3}: {reason}"):
        read_scored_pairs(write("a.csv", f"{header}a b,c,1\n\n{row}\n"))


@pytest.mark.parametrize("value", ["true", "[1]", "NaN", "1" + "0" * 400])
def test_faulty_json_scores(write: Write, value: str) -> None:
    with pytest.raises(DataError, match=r"a\.jsonl, line 1: .*gold score"):
        read_scored_pairs(write("a.jsonl", f'{{"text1": "a", "text2": "b", "score": {value}}}\n'))


def test_a_missing_score_key_is_no_empty_score(write: Write) -> None:
    rows = '{"text1": "a", "text2": "b", "score": 1}\n{"text1": "a", "text2": "b"}\n'
    with pytest.raises(DataError, match="line 2: no score among 'text1, text2'"):
        read_scored_pairs(write("a.jsonl", rows))


@pytest.mark.parametrize("content", ["a b,c\n", "a b,c,d\n", "one\n", "sentence1,sentence2\na,b\n", "a b\tc\n"])
def test_other_layouts_are_refused_with_a_list(write: Write, content: str) -> None:
    with pytest.raises(DataError, match=r"a\.csv, line 1: found .*needed: sentence1, sentence2, score.*STS Benchmark"):
        read_scored_pairs(write("a.csv", content))


def test_a_table_is_read_as_its_file(write: Write) -> None:
    path = write("a.csv", "id,sentence1,sentence2,score\n7,a b,c d,1.5\n8,e f,g h,4\n")
    told, read = read_scored_pairs(pd.read_csv(path)), read_scored_pairs(path)
    assert (told.first, told.second, told.gold.tolist()) == (read.first, read.second, read.gold.tolist())
    listed = read_scored_pairs([("a b", "c d", "1.5"), ("e f", "g h", "4")])
    assert (listed.first, listed.second, listed.gold.tolist()) == (read.first, read.second, read.gold.tolist())


def test_a_judged_corpus_without_titles() -> None:
    judged = read_scored_pairs(sample_search_path())
    corpus = (sample_search_path() / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    assert "title" not in json.loads(corpus[0])
    assert {*judged.second} <= {json.loads(line)["text"] for line in corpus}


def test_the_sample_reads() -> None:
    pairs = read_scored_pairs(sample_pairs_path())
    assert len(pairs.first) == len(pairs.second) == len(pairs.gold) > 20
