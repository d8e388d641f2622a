"""SIGKILL at any instant loses nothing committed, and leaves a folder that opens."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simcse_kit.search import Collection
from support import SCRIPTS
from support.kind_lives import DEATHS, DIMENSION, HOME, KIND, build, commit, vectors
from support.lives import FINISHED, KILLED, in_a_process

pytestmark = pytest.mark.slow


def test_killed_two_hundred_times(tmp_path: Path) -> None:
    script = SCRIPTS / "kill_writer.py"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script), str(tmp_path / "i"), "200", "1"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    match = re.search(r"200 kills, (\d+) commits, (\d+) rows; (\d+) left files behind", done.stdout)
    assert match, done.stdout
    commits, rows, leftovers = map(int, match.groups())
    assert commits > 100
    assert rows > 100
    assert leftovers > 10  # it did hit commits on their way


# In the code of a user's kind


@pytest.fixture
def own_kind(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The kind by ``module:attribute``, on the path."""
    monkeypatch.syspath_prepend(HOME)
    yield KIND
    sys.modules.pop("own_kind", None)


def kept(folder: Path) -> list[Any]:
    """Every row with its vector, of an index that is whole."""
    index = Collection.open(folder, trust_remote_code=True)
    index.verify()
    return [(row, vector.tolist()) for row, vector in index.rows()]


@pytest.fixture(scope="module")
def corpus(sentences: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("corpus") / "corpus.txt"
    file.write_text("\n".join(sentences) + "\n", encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def unharmed(corpus: Path, model_folder: Path) -> Path:
    """The index of a build that was not killed."""
    assert in_a_process(build, model_folder, corpus, corpus.parent / "index") == FINISHED
    return corpus.parent / "index"


@pytest.mark.usefixtures("own_kind")
@pytest.mark.parametrize("death", ["rows", *DEATHS])
def test_a_build_that_is_killed_ends_in_the_same_rows(
    death: str, unharmed: Path, corpus: Path, model_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "index"
    assert in_a_process(build, model_folder, corpus, folder, death) == KILLED
    assert not folder.exists()
    assert in_a_process(build, model_folder, corpus, folder) == FINISHED
    assert kept(folder) == kept(unharmed)
    assert [path.name for path in tmp_path.iterdir()] == ["index"]
    found = Collection.open(folder, trust_remote_code=True).info()
    assert found.structure is not None
    assert (found.structure.kind, found.unindexed) == (KIND, 0)


@pytest.mark.parametrize("death", DEATHS)
def test_a_commit_that_is_killed_leaves_the_one_before(death: str, own_kind: str, tmp_path: Path) -> None:
    """Then the same commit succeeds, and finds the hits of exact search."""
    folder = tmp_path / "index"
    made = Collection(DIMENSION, own_kind)
    made.add([f"old {i}" for i in range(200)], vectors(200))
    made.save(folder, structure=False)
    before = kept(folder)
    assert in_a_process(commit, folder, 50, death) == KILLED
    assert kept(folder) == before
    assert Collection.open(folder, trust_remote_code=True).info().generation == 1
    assert in_a_process(commit, folder, 50) == FINISHED
    assert [row.text for row, _ in kept(folder)] == [
        *(f"old {i}" for i in range(200)),
        *(f"new {i}" for i in range(50)),
    ]
    index = Collection.open(folder, trust_remote_code=True)
    info = index.info()
    assert info.structure is not None
    assert (info.generation, info.structure.kind, info.unindexed) == (2, KIND, 0)
    assert len(list(folder.iterdir())) == 2 + 2 * info.segments  # of no other commit: manifest, structure, segments
    exact = np.concatenate([vectors(200), vectors(50, 1)])
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    for query in vectors(10, 2):
        (hit,) = index.search(query, k=1)[0]
        assert hit.id == int(np.argmax(exact @ query))
