"""``simcse-kit mine`` and ``cluster``: printed and written results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simcse_kit.search import Collection
from support.commands import run

WORDS = ["card", "loan", "fee", "pin"]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four clusters of 30, 20, 10 and 5 nearly equal rows; two rows lack the field kind."""
    sizes = [30, 20, 10, 5]
    draw = np.random.default_rng(0)
    at = np.repeat(np.arange(4), sizes)
    vectors = (np.eye(4, 16)[at] + 0.01 * draw.normal(size=(65, 16))).astype(np.float32)
    metadata: list[dict[str, Any] | None] = [{"kind": f"[{WORDS[place]}]", "n": n % 13} for n, place in enumerate(at)]
    metadata[0] = metadata[64] = None
    made = Collection(16, "flat")
    made.add([f"the {WORDS[place]} number {n}" for n, place in enumerate(at)], vectors, metadata=metadata)
    folder = tmp_path_factory.mktemp("corpus") / "index"
    made.save(folder)
    return folder


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_groups_are_listed_with_all_their_members(index: Path, tmp_path: Path) -> None:
    done = run("mine", index, "--groups", "--output", tmp_path / "groups.jsonl")
    assert done.returncode == 0, done.stderr
    assert "in 4 groups" in done.stdout
    assert "and 26 more" in done.stdout  # of 30: shows the representative and three others
    written = records(tmp_path / "groups.jsonl")
    assert [(one["group"], one["size"], len(one["members"])) for one in written] == [
        (0, 30, 30), (1, 20, 20), (2, 10, 10), (3, 5, 5)
    ]  # fmt: skip
    assert sorted(member["id"] for one in written for member in one["members"]) == list(range(65))
    assert all(one["representative"] in one["members"] for one in written)
    assert all(one["representative"]["text"] in done.stdout for one in written)
    without = run("mine", index, "--output", tmp_path / "pairs.jsonl")
    assert f"all pairs: {tmp_path / 'pairs.jsonl'}" in without.stdout
    assert len(records(tmp_path / "pairs.jsonl")) == sum(size * (size - 1) // 2 for size in (30, 20, 10, 5))


def test_clusters_have_keywords_and_a_cross_table(index: Path, tmp_path: Path) -> None:
    done = run("cluster", index, "--clusters", "auto", "--cross-tab", "kind", "--output", tmp_path / "clusters.jsonl")
    assert done.returncode == 0, done.stderr
    assert "4 clusters: the smallest of" in done.stdout
    rows = [line.split() for line in done.stdout.splitlines()]
    for label, (word, size) in enumerate(zip(WORDS, ("30", "20", "10", "5"), strict=True)):
        assert [str(label), size, "1.00", f"{word},"] in [row[:4] for row in rows]
    assert ["cluster", "[card]", "[loan]", "[fee]", "[pin]", "without", "kind"] in rows
    assert rows[rows.index(["cluster", "[card]", "[loan]", "[fee]", "[pin]", "without", "kind"]) + 1 :][:4] == [
        ["0", "29", "0", "0", "0", "1"],
        ["1", "0", "20", "0", "0", "0"],
        ["2", "0", "0", "10", "0", "0"],
        ["3", "0", "0", "0", "4", "1"],
    ]
    assert [one["cluster"] for one in records(tmp_path / "clusters.jsonl")] == [0] * 30 + [1] * 20 + [2] * 10 + [3] * 5
    many = run("cluster", index, "-k", 2, "--cross-tab", "n")
    assert "3 others" in many.stdout
    assert "the smallest of" not in many.stdout


def test_a_cross_table_that_does_not_fit_is_written_as_text(index: Path) -> None:
    """All 65 rows have n from 0 to 12, each five times; one of 0 and one of 12 are without metadata."""
    wide = run("cluster", index, "-k", 4, "--cross-tab", "kind", terminal=100).stdout
    assert ["cluster", "[card]", "[loan]", "[fee]", "[pin]", "without", "kind"] in [
        line.split() for line in wide.splitlines()
    ]
    narrow = run("cluster", index, "-k", 4, "--cross-tab", "kind", terminal=30).stdout
    text = " ".join(narrow.split("sentences by kind")[1].split())
    assert text.startswith("cluster kind 0 [card] 29, 1 without kind 1 [loan] 20 2 [fee] 10 3 [pin] 4, 1 without kind")
    most = run("cluster", index, "-k", 1, "--cross-tab", "n", terminal=30).stdout
    assert "0 1 5, 10 5, 11 5, 48 others, 2 without n" in " ".join(most.split("sentences by n")[1].split())


def test_ids_of_the_user_are_shown_beside_mined_texts(tmp_path: Path) -> None:
    made = Collection(4, "flat")
    made.add(["one", "two"], np.ones((2, 4), np.float32), ids=["t1", "t2"])
    made.save(tmp_path / "index")
    assert "t1: one  t2: two" in run("mine", tmp_path / "index").stdout
    assert "t1: one         t2: two" in run("mine", tmp_path / "index", "--groups").stdout


@pytest.mark.parametrize("number", ["0", "many", "2.5"])
def test_a_number_of_clusters_that_is_none_is_a_usage_error(index: Path, number: str) -> None:
    done = run("cluster", index, "--clusters", number)
    assert done.returncode == 2
    assert f"a whole number from 1, or auto; got '{number}'" in " ".join(done.stderr.split())


def test_a_field_that_no_sentence_has_is_an_error(index: Path) -> None:
    done = run("cluster", index, "-k", 2, "--cross-tab", "knd")
    assert done.returncode == 1
    assert "--cross-tab counts 'knd', but no sentence of this index has this field" in " ".join(done.stderr.split())
