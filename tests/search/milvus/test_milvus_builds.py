"""A killed build in Milvus resumes, and encodes nothing twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simcse_kit import SearchIndexError, SentenceIndex, SimCSE, build_index
from simcse_kit.index import incoming
from support import SCRIPTS
from support.stores import Store
from support.tiny import SENTENCES


@pytest.fixture(scope="module")
def folder(tiny_model: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("index") / "model"
    SimCSE(tiny_model("bert"), pooling="mean", device="cpu").save(target)
    return target


@pytest.fixture(scope="module")
def model(folder: Path) -> SimCSE:
    return SimCSE(folder, device="cpu")


def write(path: Path, texts: list[str]) -> Path:
    rows = [f'k{i},"{text}",{"en" if i % 2 else ""}' for i, text in enumerate(texts)]
    path.write_text("\n".join(["key,text,lang", *rows, ""]), encoding="utf-8")
    return path


def test_a_killed_build_goes_on(folder: Path, tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", SENTENCES)

    def run(at: int, when: str, *names: str) -> str:
        command = [sys.executable, str(SCRIPTS / "build_and_die.py"), str(folder), str(table)]
        command += [str(tmp_path / "kill.db"), str(at), when, *names]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == (-signal.SIGKILL if at else 0), done.stderr
        return done.stdout

    run(3, "after", "killed")  # 18 rows are there, the last 6 of them not yet noted
    run(2, "before", "killed")
    refused, found = run(0, "", "killed", "whole").splitlines()
    assert "is not complete: its build was interrupted; run the same build again" in refused
    resumed, whole = json.loads(found)
    assert resumed["counts"] == whole["counts"]
    assert [row[:3] for row in resumed["rows"]] == [row[:3] for row in whole["rows"]]
    vectors = [np.array([row[3] for row in index["rows"]]) for index in (resumed, whole)]
    np.testing.assert_allclose(*vectors, atol=1e-5)  # processes differ in the last digits
    assert len(resumed["rows"]) == 40
    encoded = (tmp_path / "encoded.txt").read_text(encoding="utf-8").splitlines()
    assert len(encoded) == 40 + 40 + 6  # one batch was encoded, and not sent before the kill


def test_a_build_goes_on_or_says_why_not(
    model: SimCSE, tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = write(tmp_path / "t.csv", SENTENCES)
    place = store.place("b")
    encoded: list[int] = []
    real = SentenceIndex.add

    def add(self: SentenceIndex, sentences: list[str], *arguments: Any, **options: Any) -> Any:
        if sum(encoded) > 20:
            raise KeyboardInterrupt
        encoded.append(len(sentences))
        return real(self, sentences, *arguments, **options)

    monkeypatch.setattr(incoming, "READ", 6)

    def again(**changed: Any) -> Any:
        options: dict[str, Any] = {"columns": ["text"], "id_column": "key", "metadata_columns": ["lang"]}
        return build_index(model, table, place, **options | store.options | changed)

    with monkeypatch.context() as patch:
        patch.setattr(SentenceIndex, "add", add)
        with pytest.raises(KeyboardInterrupt):
            again()
    assert sum(encoded) == 24
    for changed in ({"metadata_columns": []}, {"kind": "flat"}, {"id_column": None}):
        with pytest.raises(SearchIndexError, match="is an unfinished build of other files, with other options"):
            again(**changed)
    write(table, ["Another one.", *SENTENCES[1:]])
    with pytest.raises(SearchIndexError, match="rows 0 to 6 have changed since they were read; the files have chang"):
        again()
    write(table, SENTENCES[:20])
    with pytest.raises(SearchIndexError, match="the files have 20 rows, but this build already had 24"):
        again()
    write(table, [*SENTENCES, "One more."])
    index, counts = again(skip_bad_rows=True)  # rows after the existing ones may change
    assert (len(index), counts.rows) == (41, 41)
    assert [row.text for row, _ in index._collection.rows()] == [*SENTENCES, "One more."]
    with pytest.raises(SearchIndexError, match="already exists; choose another name, or add to it"):
        again()


def test_rows_behind_a_gap_are_sent_again(model: SimCSE, tmp_path: Path, store: Store) -> None:
    """If a server lost a batch in the middle, the build resumes from there."""
    from pymilvus import MilvusClient

    from simcse_kit.search.milvus import MilvusCollection

    place, where = store.place("b"), {"uri": store.options["uri"]}
    made = MilvusCollection.build(str(place), 4, "auto", 0.9, {}, "f", **where)
    vectors = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)
    made.add([str(i) for i in range(10)], vectors)
    made.save()
    client = MilvusClient(where["uri"])
    client.delete(str(place), filter="number in [4, 6]")
    again = MilvusCollection.build(str(place), 4, "auto", 0.9, {}, "f", **where)
    assert len(again) == 4
    again.add([str(i) for i in range(4, 10)], vectors[4:], list(range(4, 10)))
    again.finish()
    again.verify()
    assert [(row.id, row.text) for row, _ in store.open(place).rows()] == [(i, str(i)) for i in range(10)]
