"""NLI files to triplets: every format gives the same result, and every row is counted."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from simcse_kit.data import read_examples
from simcse_kit.data.prepare import prepare_nli
from simcse_kit.errors import DataError, Notice
from support.commands import run

MAN = "A man plays."
DOG = 'The "big" dog, it runs.'
ROWS = [
    (MAN, "Somebody plays.", "entailment"),
    (MAN, "A person plays.", "entailment"),
    (MAN, "Nobody plays.", "contradiction"),
    (MAN, "A man sleeps.", "contradiction"),
    (MAN, "He is famous.", "neutral"),
    (MAN, "He is happy.", "-"),
    (DOG, "A dog runs.", "entailment"),
    (DOG, "A dog, asleep.", "contradiction"),
    ("It rains.", "Water falls.", "entailment"),
    ("It rains.", "It is cold.", "neutral"),
]
ALL = [
    (MAN, "Somebody plays.", "Nobody plays."),
    (MAN, "Somebody plays.", "A man sleeps."),
    (MAN, "A person plays.", "Nobody plays."),
    (MAN, "A person plays.", "A man sleeps."),
    (DOG, "A dog runs.", "A dog, asleep."),
]


def as_jsonl(path: Path) -> Path:
    lines = [{"gold_label": label, "pairID": "1", "sentence1": a, "sentence2": b} for a, b, label in ROWS]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def as_snli_text(path: Path) -> Path:
    """Additional columns before and after, and as in MultiNLI a different number in each row."""
    lines = ["\t".join((label, "( parse )", a, b, "id", *["label"] * (i % 3))) for i, (a, b, label) in enumerate(ROWS)]
    header = "gold_label\tsentence1_parse\tsentence1\tsentence2\tpairID\tlabel1"
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def as_kornli(path: Path) -> Path:
    lines = ["\t".join(row) for row in ROWS]
    path.write_text("\n".join(["sentence1\tsentence2\tgold_label", *lines]) + "\n", encoding="utf-8")
    return path


def as_xnli_translation(path: Path) -> Path:
    """XNLI's translated training files have other names."""
    lines = ["\t".join((a, b, "contradictory" if label == "contradiction" else label)) for a, b, label in ROWS]
    path.write_text("\n".join(["premise\thypo\tlabel", *lines]) + "\n", encoding="utf-8")
    return path


def as_gzip(path: Path) -> Path:
    plain = as_jsonl(path.with_suffix(""))
    path.write_bytes(gzip.compress(plain.read_bytes()))
    return path


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.jsonl", as_jsonl),
        ("a.txt", as_snli_text),
        ("a.tsv", as_kornli),
        ("b.tsv", as_xnli_translation),
        ("a.jsonl.gz", as_gzip),
    ],
)
def test_every_format_gives_all_triplets(tmp_path: Path, name: str, write: Callable[[Path], Path]) -> None:
    counts = prepare_nli(write(tmp_path / name), tmp_path / "out.csv", combinations="all")
    assert read_examples(tmp_path / "out.csv").rows == ALL  # quotes and commas too
    assert (tmp_path / "out.csv").read_text(encoding="utf-8").startswith("sent0,sent1,hard_neg\n")
    assert (counts.rows, counts.unlabelled, counts.premises, counts.without_both, counts.written) == (10, 1, 3, 1, 5)


def test_one_triplet_a_premise_is_drawn_by_the_seed(tmp_path: Path) -> None:
    source = as_jsonl(tmp_path / "a.jsonl")
    drawn = set()
    for seed in range(40):
        assert prepare_nli(source, tmp_path / "out.csv", seed=seed, overwrite=True).written == 2
        rows = read_examples(tmp_path / "out.csv").rows
        assert [row[0] for row in rows] == [MAN, DOG]
        drawn.update(rows)
        prepare_nli(source, tmp_path / "again.csv", seed=seed, overwrite=True)
        assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "out.csv").read_bytes()
    assert drawn == set(ALL)  # the chance that one of 4 combinations is missing in 40 draws is 4 * 0.75^40


def test_a_premise_may_be_spread_over_files_and_rows_repeated(tmp_path: Path) -> None:
    rows = [json.dumps({"sentence1": a, "sentence2": b, "gold_label": label}) + "\n" for a, b, label in ROWS]
    (tmp_path / "a.jsonl").write_text("".join(rows[:3]), encoding="utf-8")
    (tmp_path / "b.jsonl").write_text("".join(rows[1:]), encoding="utf-8")
    counts = prepare_nli([tmp_path / "a.jsonl", tmp_path / "b.jsonl"], tmp_path / "out.csv", combinations="all")
    assert read_examples(tmp_path / "out.csv").rows == ALL
    assert (counts.rows, counts.repeated) == (12, 2)


def test_a_hypothesis_with_both_labels_is_no_positive_and_no_negative(tmp_path: Path) -> None:
    rows = [
        (MAN, "He plays well.", "entailment"),
        (MAN, "He plays well.", "contradiction"),
        *[r for r in ROWS if r[0] == MAN],
    ]
    (tmp_path / "a.tsv").write_text(
        "sentence1\tsentence2\tgold_label\n" + "".join("\t".join(row) + "\n" for row in rows), encoding="utf-8"
    )
    counts = prepare_nli(tmp_path / "a.tsv", tmp_path / "out.csv", combinations="all")
    assert counts.ambiguous == 1
    assert read_examples(tmp_path / "out.csv").rows == ALL[:4]


def as_xnli(path: Path) -> Path:
    lines = [f"{code}\t{label}\t{code} {a}\t{code} {b}\t7" for code in ("en", "ko") for a, b, label in ROWS]
    path.write_text("\n".join(["language\tgold_label\tsentence1\tsentence2\tpromptID", *lines]) + "\n", "utf-8")
    return path


def test_a_language_is_picked_where_there_are_several(tmp_path: Path) -> None:
    source = as_xnli(tmp_path / "xnli.tsv")
    counts = prepare_nli(source, tmp_path / "ko.csv", combinations="all", language="ko")
    assert read_examples(tmp_path / "ko.csv").rows == [tuple(f"ko {text}" for text in row) for row in ALL]
    assert (counts.rows, counts.other_languages) == (10, 10)
    assert prepare_nli(source, tmp_path / "every.csv", combinations="all").written == 10
    with pytest.raises(DataError, match=r"no row of the language 'de' .* it holds en, ko"):
        prepare_nli(source, tmp_path / "de.csv", language="de")
    with pytest.raises(DataError, match="no column named 'language'; the columns are sentence1"):
        prepare_nli(as_kornli(tmp_path / "a.tsv"), tmp_path / "de.csv", language="de")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (
            f"{MAN}\tHe plays.\tentailed",
            "the label must be one of entailment, neutral, contradiction, -, contradictory, 0, 1, 2, -1, e, n, c; "
            "found 'entailed'; set its meaning with --labels",
        ),
        (f"{MAN}\t\tneutral", "the hypothesis is empty"),
        (f"{MAN}\tHe plays.", "expected 3 columns, found 2"),
    ],
)
def test_a_bad_row_names_file_and_line_or_is_counted(tmp_path: Path, row: str, said: str) -> None:
    path = as_kornli(tmp_path / "a.tsv")
    path.write_text(path.read_text(encoding="utf-8") + row + "\n\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"a\.tsv, line 12: ") as caught:
        prepare_nli(path, tmp_path / "out.csv")
    assert said in str(caught.value)
    assert not (tmp_path / "out.csv").exists()
    counts = prepare_nli(path, tmp_path / "out.csv", combinations="all", skip_bad_rows=True)
    assert (counts.bad_rows, counts.empty_rows, counts.written) == (1, 1, 5)


def test_what_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "sts.tsv").write_text("sentence1\tsentence2\tscore\nA man.\tHe.\t3\n", encoding="utf-8")
    missing = (
        r"sts\.tsv, line 1: the file needs the columns .* gold_label or label; the columns are sentence1, sentence2, "
        r"score; the first row is sentence1: 'A man\.', sentence2: 'He\.', score: '3'"
    )
    with pytest.raises(DataError, match=missing):
        prepare_nli(tmp_path / "sts.tsv", tmp_path / "out.csv")
    (tmp_path / "few.tsv").write_text("sentence1\tsentence2\tgold_label\nA man.\tHe.\tentailment\n", encoding="utf-8")
    with pytest.raises(DataError, match="no premise has both"):
        prepare_nli(tmp_path / "few.tsv", tmp_path / "out.csv")
    with pytest.raises(DataError, match="combinations must be one of one, all; got 'two'"):
        prepare_nli(tmp_path / "few.tsv", tmp_path / "out.csv", combinations="two")
    with pytest.raises(DataError, match=r"must end in \.csv"):
        prepare_nli(tmp_path / "few.tsv", tmp_path / "out.txt")


NUMBERS = {"entailment": 0, "neutral": 1, "contradiction": 2, "-": -1}


def as_numbered(path: Path, names: tuple[str, str, str] = ("premise", "hypothesis", "label")) -> Path:
    """As the data sets of the Hub have it: SNLI, MultiNLI, XNLI, KLUE-NLI."""
    rows = [dict(zip(names, (a, b, NUMBERS[label]), strict=True)) for a, b, label in ROWS]
    if path.suffix == ".parquet":
        pa = pytest.importorskip("pyarrow")
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["a.parquet", "a.csv", "a.jsonl"])
@pytest.mark.parametrize("names", [("premise", "hypothesis", "label"), ("Context", "Hypothesis", "Label")])
def test_numbered_labels_are_read_and_the_mapping_is_said(
    tmp_path: Path, name: str, names: tuple[str, str, str]
) -> None:
    said = rf"{name}: labels are read as -1=-, 0=entailment, 1=neutral, 2=contradiction; set other meanings"
    with pytest.warns(Notice, match=said):
        counts = prepare_nli(as_numbered(tmp_path / name, names), tmp_path / "out.csv", combinations="all")
    assert read_examples(tmp_path / "out.csv").rows == ALL
    assert (counts.rows, counts.unlabelled) == (10, 1)


def test_letters_and_capitals_of_anli_and_sick(tmp_path: Path) -> None:
    for spelled in (lambda label: label[0], str.upper, str.title):
        rows = [json.dumps({"context": a, "hypothesis": b, "label": spelled(label)}) + "\n" for a, b, label in ROWS]
        (tmp_path / "a.jsonl").write_text("".join(rows), encoding="utf-8")
        prepare_nli(tmp_path / "a.jsonl", tmp_path / "out.csv", combinations="all", overwrite=True)
        assert read_examples(tmp_path / "out.csv").rows == ALL


def test_other_meanings_override_the_numbers(tmp_path: Path) -> None:
    """Swapping two labels swaps the positives with the hard negatives."""
    source = as_numbered(tmp_path / "a.jsonl")
    swapped = {"0": "contradiction", "1": "neutral", "2": "Entailment", "-1": "-"}
    prepare_nli(source, tmp_path / "out.csv", combinations="all", labels=swapped)
    rows = read_examples(tmp_path / "out.csv").rows
    assert sorted((a, c, b) for a, b, c in rows) == sorted(ALL)
    with pytest.raises(DataError, match=r"a\.jsonl, line 1: the label must be one of .*contradictory, 1; found 0"):
        prepare_nli(source, tmp_path / "out.csv", labels={"1": "entailment"}, overwrite=True)
    with pytest.raises(DataError, match=r"--labels\): 0 must mean one of entailment, .*; got 'yes'"):
        prepare_nli(source, tmp_path / "out.csv", labels={"0": "yes"}, overwrite=True)


def test_the_command_takes_meanings(tmp_path: Path) -> None:
    source = as_numbered(tmp_path / "a.jsonl")
    done = run(
        "prepare", "nli", source, tmp_path / "out.csv", "--labels", "2=entailment,1=neutral,0=contradiction,-1=-"
    )
    assert done.returncode == 0, done.stderr
    assert "labels are read as -1=-, 0=contradiction, 1=neutral, 2=entailment" in " ".join(done.stderr.split())
    done = run("prepare", "nli", source, tmp_path / "two.csv", "--labels", "entailment")
    assert done.returncode == 2
    assert "LABEL=MEANING" in done.stderr
