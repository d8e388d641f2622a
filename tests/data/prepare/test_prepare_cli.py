"""The three commands, as a user types them."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from simcse_kit.cli.prepare import prepare_negatives_command, prepare_nli_command, prepare_sentences_command
from simcse_kit.data import read_examples, read_sentences
from simcse_kit.encoder.known import MINILM, packaged_minilm
from simcse_kit.errors import DataError

app = typer.Typer()
app.command("sentences")(prepare_sentences_command)
app.command("nli")(prepare_nli_command)
app.command("negatives")(prepare_negatives_command)


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def counts_in(output: str) -> dict[str, str]:
    """The table's rows: name and number."""
    rows = [line.rsplit(maxsplit=1) for line in output.splitlines()[1:] if not line.startswith("next:")]
    return {name.strip(): number for name, number in rows}


def test_sentences_of_two_documents(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("It rains a lot. It\nrains here too. No.\n", encoding="utf-8")
    (tmp_path / "b.jsonl").write_text('{"text": "It rains a lot. Nobody sees it."}\n', encoding="utf-8")
    result = invoke("sentences", tmp_path / "a.txt", tmp_path / "b.jsonl", tmp_path / "out.txt")
    assert result.exit_code == 0, result.output
    assert read_sentences(tmp_path / "out.txt").column(0) == [
        "It rains a lot.",
        "It rains here too.",
        "Nobody sees it.",
    ]
    assert counts_in(result.stdout) == {
        "files": "2",
        "documents": "2",
        "found": "5",
        "too short": "1",
        "duplicates": "1",
        "written": "3",
    }


def test_nli_of_two_files(tmp_path: Path) -> None:
    header = "sentence1\tsentence2\tgold_label\n"
    (tmp_path / "a.tsv").write_text(header + "It rains.\tWater falls.\tentailment\n", encoding="utf-8")
    (tmp_path / "b.tsv").write_text(header + "It rains.\tIt is dry.\tcontradiction\n", encoding="utf-8")
    result = invoke("nli", tmp_path / "a.tsv", tmp_path / "b.tsv", tmp_path / "out.csv", "--combinations", "all")
    assert result.exit_code == 0, result.output
    assert read_examples(tmp_path / "out.csv").rows == [("It rains.", "Water falls.", "It is dry.")]
    assert counts_in(result.stdout) == {"rows": "2", "premises": "1", "written": "1"}


def test_negatives_of_pairs(tmp_path: Path) -> None:
    if packaged_minilm() is None:
        pytest.skip("needs the extra offline")
    (tmp_path / "pairs.csv").write_text(
        "anchor,positive\nThe cat sleeps.,A cat is asleep.\nIt rains.,Rain falls.\n", encoding="utf-8"
    )
    result = invoke("negatives", tmp_path / "pairs.csv", tmp_path / "out.csv", "--model", MINILM, "--max-score", "0.9")
    assert result.exit_code == 0, result.output
    assert read_examples(tmp_path / "out.csv").rows == [
        ("The cat sleeps.", "A cat is asleep.", "Rain falls."),
        ("It rains.", "Rain falls.", "A cat is asleep."),
    ]
    assert counts_in(result.stdout) == {"pairs": "2", "anchors": "2", "corpus": "2", "written": "2"}


def test_an_error_passes_to_the_one_place_that_prints_it(tmp_path: Path) -> None:
    result = invoke("sentences", tmp_path / "missing.txt", tmp_path / "out.txt")
    assert isinstance(result.exception, DataError)
    assert "missing.txt does not exist" in str(result.exception)
