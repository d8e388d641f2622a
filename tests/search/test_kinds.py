"""A kind describes itself in one file: a user's own works everywhere, and no list names it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from simcse_kit import SearchIndexError, SentenceIndex, SimCSE
from simcse_kit.cli import app
from simcse_kit.index import build_index
from simcse_kit.search import KINDS as LINES
from simcse_kit.search import Collection, new_collection
from simcse_kit.search.kinds import KINDS, ApproximateKind, get_kind
from simcse_kit.search.milvus.schema import AUTO, milvus_index
from simcse_kit.search.structure import resolve_kinds

COUNT, DIMENSION = 500, 16


def vectors(count: int = COUNT, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)


def filled(kind: str, folder: Path) -> Collection:
    made = Collection(DIMENSION, kind)
    made.add([f"t{i}" for i in range(COUNT)], vectors())
    made.save(folder)
    return made


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A kind that is registered for one test; its name."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    from own_kind import KIND  # type: ignore[import-not-found]

    monkeypatch.setattr(KINDS, "_parts", dict(KINDS._parts))
    KINDS.register(KIND)
    yield KIND.name
    sys.modules.pop("own_kind", None)


@pytest.fixture
def on_the_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A kind by ``module:attribute``, which is not imported yet."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    sys.modules.pop("own_kind", None)
    yield "own_kind:KIND"
    sys.modules.pop("own_kind", None)


def test_every_kind_says_what_it_is() -> None:
    assert KINDS.names() == ("flat", "hnsw", "ivf", "int8", "pq", "rabitq", "binary")
    assert all(kind.help for kind in KINDS)
    assert [kind.name for kind in KINDS if not isinstance(kind, ApproximateKind)] == ["flat"]


def test_the_lines_of_help_by_name() -> None:
    """What others read from `simcse_kit.search.KINDS`: names, lines, and whether there is one."""
    assert list(LINES) == list(KINDS.names())
    assert LINES.get("flat") == LINES["flat"] == "exact: every vector is compared"
    assert "hnsw" in LINES
    assert "fast" not in LINES
    assert LINES.get("fast", "none") == "none"


def test_auto_asks_the_kinds_that_take_part() -> None:
    few, many = resolve_kinds("auto", 20_000), resolve_kinds("auto", 20_001)
    assert ([kind.name for kind in few], [kind.name for kind in many]) == (["flat"], ["pq", "int8"])


def test_what_milvus_calls_them() -> None:
    assert milvus_index("auto") is AUTO
    assert {name: milvus_index(name).index_type for name in ("flat", "hnsw", "ivf", "int8", "pq", "rabitq")} == {
        "flat": "FLAT",
        "hnsw": "HNSW",
        "ivf": "IVF_FLAT",
        "int8": "IVF_SQ8",
        "pq": "IVF_PQ",
        "rabitq": "IVF_RABITQ",
    }
    parts = milvus_index("pq").params_of
    assert parts is not None
    assert [parts(dimension) for dimension in (384, 30, 7)] == [{"m": 48}, {"m": 3}, {"m": 1}]


def test_milvus_runs_no_kind_of_a_users_own(on_the_path: str, tmp_path: Path) -> None:
    """Milvus builds and searches its own indexes; the user's module is not imported."""
    wanted = "own_kind:KIND is custom code, but Milvus builds and searches its own indexes"
    with pytest.raises(SearchIndexError, match=wanted):
        milvus_index(on_the_path)
    assert "own_kind" not in sys.modules
    with pytest.raises(SearchIndexError, match=wanted):
        new_collection(DIMENSION, on_the_path, address=f"milvus:{tmp_path / 'm.db'}/rows")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("own")
def test_the_command_lists_a_kind_that_somebody_registered() -> None:
    wanted = "one of flat, hnsw, ivf, int8, pq, rabitq, binary, halves; got 'halve'; did you mean halves"
    with pytest.raises(SearchIndexError, match=wanted):
        get_kind("halve")


def test_the_command_lists_the_kinds() -> None:
    shown = " ".join(CliRunner().invoke(app, ["index", "build", "--help"]).stdout.split())
    assert all(f"{kind.name}" in shown for kind in KINDS)
    assert "FAISS factory string" in shown


def test_a_kind_of_a_user_takes_the_whole_way(own: str, tmp_path: Path) -> None:
    """It is built, tuned, written, read back, searched, extended, compacted and verified like ours."""
    filled(own, tmp_path / "i")
    index, exact = Collection.open(tmp_path / "i"), filled("flat", tmp_path / "flat")
    entry = index.info().structure
    assert entry is not None
    assert (entry.kind, entry.rows, entry.effort) == ("halves", COUNT, 1)
    assert entry.recall >= 0.99
    queries = vectors(20, 1)
    for hits, right in zip(index.search(queries, 5), exact.search(queries, 5), strict=True):
        assert [hit.id for hit in hits] == [hit.id for hit in right]
    index.delete(list(range(0, COUNT, 2)))
    index.add(["new"], vectors(1, 2))
    assert index.search(vectors(1, 2), 1)[0][0].text == "new"
    index.compact()
    again = Collection.open(tmp_path / "i")
    again.verify()
    assert (len(again), again.info().unindexed) == (COUNT // 2 + 1, 0)
    (path,) = (tmp_path / "i").glob("structure-*")
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(bytes(raw))
    with pytest.raises(SearchIndexError, match=f"{path.name} is damaged"):
        Collection.open(tmp_path / "i").verify()


def test_a_kind_that_a_file_names_is_imported_only_where_it_is_trusted(on_the_path: str, tmp_path: Path) -> None:
    filled(on_the_path, tmp_path / "i")  # given: imported
    del sys.modules["own_kind"]
    with pytest.raises(SearchIndexError, match=r"own_kind:KIND is code outside this package.*trust_remote_code"):
        Collection.open(tmp_path / "i")
    assert "own_kind" not in sys.modules
    index = Collection.open(tmp_path / "i", trust_remote_code=True)
    assert index.info().kind == "own_kind:KIND"
    other = Collection.open(tmp_path / "i", trust_remote_code=True)
    other.add(["new"], vectors(1, 2))
    other.save()
    assert index.refresh()  # the kind was trusted
    assert len(index) == COUNT + 1


def test_files_are_indexed_by_a_kind_of_a_user(on_the_path: str, model: SimCSE, tmp_path: Path) -> None:
    """It was given, so the build returns an index; opening it later takes trust."""
    (tmp_path / "t.txt").write_text("".join(f"Sentence {i}.\n" for i in range(30)), encoding="utf-8")
    index, _ = build_index(model, tmp_path / "t.txt", tmp_path / "i", kind=on_the_path)
    assert index.search("Sentence 3.", 1)[0].text == "Sentence 3."
    with pytest.raises(SearchIndexError, match="trust_remote_code"):
        SentenceIndex.open(tmp_path / "i", model)
    assert len(SentenceIndex.open(tmp_path / "i", model, trust_remote_code=True)) == 30


def test_the_kinds_are_light() -> None:
    """The command's help needs them: neither FAISS nor numpy is imported."""
    code = "import sys; from simcse_kit.search.kinds import KINDS; KINDS.names(); "
    code += "print({'faiss', 'numpy'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
