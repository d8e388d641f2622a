"""An index written by 0.1.0 opens, answers, is checked and can be extended; nothing is encoded again.

`index_of_0_1_0.zip` has 200 rows of 8 dimensions by the kind int8, every tenth of them deleted, a row that was added
later and one with metadata of 300 levels, which 0.1.0 took and could not answer with.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from simcse_kit import Notice, SearchIndexError
from simcse_kit.errors import DamagedIndexError
from simcse_kit.search import Collection, store

COUNT, DIMENSION = 200, 8
IDS = {f"id{i}" for i in range(COUNT) if i % 10} | {"later", "deep"}


def vectors() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(COUNT, DIMENSION)).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with zipfile.ZipFile(Path(__file__).with_name("index_of_0_1_0.zip")) as archive:
        archive.extractall(tmp_path / "old")
    return tmp_path / "old"


def found(index: Collection, number: int, k: int = 1) -> list[object]:
    return [hit.id for hit in index.search(vectors()[number : number + 1], k)[0]]


def test_it_opens_and_answers(folder: Path) -> None:
    index = Collection.open(folder)
    index.verify()
    assert len(index) == 182
    assert all(found(index, i) == [f"id{i}"] for i in range(2, COUNT) if i % 10)
    assert index.get(["id7"])[0].metadata == {"lang": "en", "n": 7}
    assert [hit.id for hit in index.search(vectors()[9:10], 3, filter={"n": {"$lt": 10}, "lang": "de"})[0]] == [
        "id9",
        *sorted(["id3", "id6"], key=lambda one: -float(unit()[9] @ unit()[int(one[2:])])),
    ]
    with pytest.raises(SearchIndexError, match="this index has no id 'id10'"):
        index.get(["id10"])


def unit() -> np.ndarray:
    made = vectors()
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def test_it_goes_on_in_the_new_form(folder: Path) -> None:
    """A commit keeps its files; a compaction writes all as of now. The vectors are those that were there."""
    index = Collection.open(folder)
    index.delete(["deep"])
    before = {row.id: vector for row, vector in index.rows()}
    assert before.keys() == IDS - {"deep"}
    index.add(["new"], -vectors()[2:3], ["new"])
    index.save()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["format_version"] == 3
    assert [segment["rows"]["whole"] for segment in manifest["segments"]] == [True, True, False]
    Collection.open(folder).verify()
    index.compact()
    again = Collection.open(folder)
    again.verify()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert [segment["rows"]["whole"] for segment in manifest["segments"]] == [False]
    after = {row.id: vector for row, vector in again.rows()}
    assert after.keys() == before.keys() | {"new"}
    for id_, vector in before.items():
        np.testing.assert_array_equal(after[id_], vector)


def test_a_copy_of_it_is_one_too(folder: Path, tmp_path: Path) -> None:
    Collection.open(folder).save(tmp_path / "copy")
    shutil.rmtree(folder)
    copy = Collection.open(tmp_path / "copy")
    copy.verify()
    assert len(copy) == 182
    assert found(copy, 7) == ["id7"]


def test_a_flipped_bit_of_its_large_rows_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_CHECKED_AT_ONCE", 0)
    path = folder / "rows-000001.sqlite"
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"id7t")] ^= 1
    path.write_bytes(bytes(raw))
    with pytest.raises(DamagedIndexError, match=r"rows-000001\.sqlite is damaged: bytes 0 to"):
        Collection.open(folder).get(["id9"])


def test_a_row_that_poisoned_it_is_named_and_can_go(folder: Path) -> None:
    index = Collection.open(folder)
    with pytest.raises(
        SearchIndexError, match=r"the metadata of the row with id 'deep': .* update the row, or delete it"
    ):
        index.search(-vectors()[1:2], 1)
    index.update(["deep"], -vectors()[1:2], ["deep"], [{"a": 1}])
    assert index.search(-vectors()[1:2], 1)[0][0].metadata == {"a": 1}
    index.save()
    assert Collection.open(folder).get(["deep"])[0].metadata == {"a": 1}


def test_more_hits_than_it_was_tuned_for_compare_every_vector(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simcse_kit.search.content.AUTO_FLAT", 0)  # otherwise so few rows are compared one by one
    index = Collection.open(folder)
    index.delete(["deep"])
    with pytest.warns(Notice, match=r"was written by 0\.1\.0.*compact"):
        found_ids = found(index, 7, 50)
    live = [i for i in range(COUNT) if i % 10]
    best = sorted(live, key=lambda i: -float(unit()[7] @ unit()[i]))
    assert [one for one in found_ids if one != "later"][:40] == [f"id{i}" for i in best[:40]]
