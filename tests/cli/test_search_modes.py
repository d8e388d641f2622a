"""``index build --hybrid``, ``search --mode`` and ``index compact --hybrid``, in a user's order."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from support.commands import Done, run

CODE = "The update ended with error 0x80070057."


@pytest.fixture
def corpus(sentences: list[str], tmp_path: Path) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text("\n".join([*sentences, CODE]) + "\n", encoding="utf-8")
    return path


def hits(done: Done) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["hits"]
    return found


def test_a_hybrid_index_is_searched_in_three_ways(model_folder: Path, corpus: Path, tmp_path: Path) -> None:
    built = run("index", "build", model_folder, corpus, tmp_path / "index", "--hybrid")
    assert built.returncode == 0, built.stderr
    assert "--mode hybrid" in built.stdout  # the next step
    assert "keywords     yes" in run("index", "info", tmp_path / "index").stdout
    search = ("search", tmp_path / "index", "error 0x80070057", "--format", "json")
    keyword, hybrid = (hits(run(*search, "--mode", mode)) for mode in ("keyword", "hybrid"))
    assert [hit["text"] for hit in keyword] == [CODE]
    assert (keyword[0]["dense_rank"], keyword[0]["keyword_rank"]) == (None, 1)
    assert hybrid[0]["text"] == CODE
    assert len(hybrid) == 5
    assert {hit["keyword_rank"] for hit in hybrid[1:]} == {None}
    assert all(hit["dense_rank"] >= 1 for hit in hybrid)
    dense = hits(run(*search))
    assert dense == hits(run(*search, "--mode", "dense"))
    assert all(hit.keys() == {"id", "text", "score", "metadata"} for hit in dense)
    assert run("index", "verify", tmp_path / "index").returncode == 0


def test_the_table_has_both_ranks(model_folder: Path, corpus: Path, tmp_path: Path) -> None:
    assert run("index", "build", model_folder, corpus, tmp_path / "index", "--hybrid").returncode == 0
    table = run("search", tmp_path / "index", "error 0x80070057", "-k", 2, "--mode", "hybrid").stdout.splitlines()
    assert table[1].split() == ["score", "dense", "rank", "keyword", "rank", "id", "text"]
    assert table[2].split()[2:4] == ["1", "40"]
    assert table[3].split()[2] == "–"  # not found by words
    assert "dense rank" not in run("search", tmp_path / "index", "error").stdout
    assert "no hit" in run("search", tmp_path / "index", "zzz", "--mode", "keyword").stdout


def test_an_index_without_keywords_names_the_way_on(model_folder: Path, corpus: Path, tmp_path: Path) -> None:
    assert run("index", "build", model_folder, corpus, tmp_path / "index").returncode == 0
    for mode in ("keyword", "hybrid"):
        refused = run("search", tmp_path / "index", "error", "--mode", mode)
        assert refused.returncode == 1
        assert "index build --hybrid" in refused.stderr
        assert "index compact INDEX --hybrid" in refused.stderr
    assert run("index", "compact", tmp_path / "index", "--hybrid").returncode == 0
    assert hits(run("search", tmp_path / "index", "0x80070057", "--mode", "keyword", "--format", "json"))
    assert run("index", "compact", tmp_path / "index").returncode == 0
    assert hits(run("search", tmp_path / "index", "0x80070057", "--mode", "keyword", "--format", "json"))
    assert run("index", "compact", tmp_path / "index", "--dense").returncode == 0
    assert run("search", tmp_path / "index", "0x80070057", "--mode", "keyword").returncode == 1


def test_by_words_no_model_is_loaded(model_folder: Path, corpus: Path, tmp_path: Path) -> None:
    """So it also answers without its model."""
    moved = tmp_path / "model"
    shutil.copytree(model_folder, moved)
    assert run("index", "build", moved, corpus, tmp_path / "index", "--hybrid").returncode == 0
    shutil.rmtree(moved)
    search = ("search", tmp_path / "index", "0x80070057", "--format", "json")
    assert [hit["text"] for hit in hits(run(*search, "--mode", "keyword"))] == [CODE]
    assert run(*search, "--mode", "hybrid").returncode == 1


def test_a_threshold_is_a_cosine(model_folder: Path, tmp_path: Path) -> None:
    """The error comes before anything is opened."""
    refused = run("search", tmp_path / "nowhere", "x", "--mode", "hybrid", "--threshold", "0.5")
    assert refused.returncode == 1
    assert "threshold is a cosine" in refused.stderr
