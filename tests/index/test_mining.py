"""`mine_pairs` and `cluster`: the same answer from an open index, its collection or its folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from simcse_kit import SearchIndexError, SentenceIndex, SimCSE, cluster, mine_pairs
from simcse_kit.search import open_collection


@pytest.fixture(scope="module")
def index(minilm: SimCSE, tmp_path_factory: pytest.TempPathFactory) -> tuple[SentenceIndex, Path]:
    texts = ["A cat sleeps.", "The train is late.", "A cat sleeps!", "The train is late!"]
    folder = tmp_path_factory.mktemp("mining") / "index"
    made = SentenceIndex.build(minilm, texts)
    made.save(folder)
    return made, folder


def test_twins_are_mined_from_whatever_an_index_is_given_as(index: tuple[SentenceIndex, Path]) -> None:
    made, folder = index
    for given in (made, folder, str(folder), open_collection(folder)):
        found = mine_pairs(given, threshold=0.9, neighbors=np.int64(50))
        assert sorted(map(tuple, found.rows.tolist())) == [(0, 2), (1, 3)]
        assert {frozenset((pair.first.text[:-1], pair.second.text[:-1])) for pair in found} == {
            frozenset(["A cat sleeps"]),
            frozenset(["The train is late"]),
        }


def test_clusters_keep_twins_together(index: tuple[SentenceIndex, Path]) -> None:
    made, folder = index
    for given in (made, folder):
        found = cluster(given, np.int64(2), examples=1)
        assert [one.size for one in found.clusters] == [2, 2]
        labels = dict(zip(found.numbers.tolist(), found.labels.tolist(), strict=True))
        assert labels[0] == labels[2] != labels[1] == labels[3]
        assert np.linalg.norm(found.centres, axis=1) == pytest.approx(np.ones(2), abs=1e-5)


def test_errors_are_those_of_the_index(index: tuple[SentenceIndex, Path], tmp_path: Path) -> None:
    with pytest.raises(SearchIndexError, match="n_clusters must be between 1"):
        cluster(index[0], 5)
    with pytest.raises(SearchIndexError, match="neighbors must be an integer of at least 1"):
        mine_pairs(index[0], neighbors=0)
    with pytest.raises(SearchIndexError, match="does not exist"):
        mine_pairs(tmp_path / "nowhere")


def test_mining_loads_no_model() -> None:
    """The commands that only mine start as fast as the search does."""
    code = "import sys; from simcse_kit.index.mining import cluster, mine_pairs; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
