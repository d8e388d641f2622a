"""Files into an index: atomically, in parts, with ids and metadata, and by the command."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from simcse_kit import DataError, SearchIndexError, SentenceIndex, SimCSE, add_files, build_index
from simcse_kit.cli import app
from simcse_kit.search.kinds._factory import FactoryKind
from support import commands
from support.stores import MILVUS, Store
from support.tiny import SENTENCES


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "tickets.csv"
    rows = [f'k{i},"{text}",{"en" if i % 2 else "de"},{2000 + i},' for i, text in enumerate(SENTENCES)]
    path.write_text("\n".join(["key,text,lang,year,note", *rows, "k99,,en,1,", ""]), encoding="utf-8")
    return path


def test_a_table_becomes_rows_with_ids_and_metadata(model: SimCSE, table: Path, tmp_path: Path, store: Store) -> None:
    index, counts = build_index(
        model,
        table,
        store.place("i"),
        columns=["text"],
        id_column="key",
        metadata_columns=["lang", "year", "note"],
        **store.options,
    )
    assert counts == (1, 40, 1, 0, 0, 0, 0)
    assert index.get(["k3"])[0] == ("k3", SENTENCES[3], {"lang": "en", "year": 2003})
    hits = index.search(SENTENCES[4], 40, filter={"lang": "de", "year": {"$lt": 2010}})
    assert sorted(str(hit.id) for hit in hits) == ["k0", "k2", "k4", "k6", "k8"]
    assert hits[0].text == SENTENCES[4]
    assert not list(tmp_path.glob(".*"))


def test_columns_keep_their_types(model: SimCSE, tmp_path: Path, store: Store) -> None:
    rows = {"id": [7, 8], "text": ["one", "two"], "open": [True, None], "tags": [["a"], []], "size": [1.5, 2.0]}
    pq.write_table(pa.table(rows), tmp_path / "t.parquet")
    lines = [json.dumps({name: values[i] for name, values in rows.items()}) for i in range(2)]
    (tmp_path / "t.jsonl").write_text("\n".join(lines), encoding="utf-8")
    for name in ("t.parquet", "t.jsonl"):
        index, _ = build_index(
            model,
            tmp_path / name,
            store.place(name.replace(".", "_")),
            id_column="id",
            metadata_columns=["open", "tags", "size"],
            **store.options,
        )
        assert [tuple(row) for row in index.get([7, 8])] == [
            (7, "one", {"open": True, "tags": ["a"], "size": 1.5}),
            (8, "two", {"tags": [], "size": 2.0}),
        ]


def test_metadata_beyond_the_bounds_are_named_by_their_line(model: SimCSE, tmp_path: Path, store: Store) -> None:
    deep: Any = 1
    for _ in range(70):
        deep = [deep]
    rows = [{"text": f"Sentence {n}.", "about": {"n": n}} for n in range(3)]
    rows[1]["about"] = {"deep": deep}
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    given: dict[str, Any] = {"columns": ["text"], "metadata_columns": ["about"], **store.options}
    with pytest.raises(DataError, match=r"t\.jsonl.*line 2.*at most 64 levels deep"):
        build_index(model, tmp_path / "t.jsonl", store.place("i"), **given)
    index, counts = build_index(model, tmp_path / "t.jsonl", store.place("j"), skip_bad_rows=True, **given)
    assert (len(index), counts.skipped) == (2, 1)


def test_the_bar_moves_by_batches(model: SimCSE, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In both readings: of the types, and of the texts."""
    steps: dict[str, list[float]] = {}

    def update(self: Any, n: float = 1) -> None:
        if not self.disable:
            steps.setdefault(self.desc, []).append(n)

    monkeypatch.setattr("tqdm.auto.tqdm.update", update)
    build_index(
        model,
        table,
        tmp_path / "i",
        columns=["text"],
        metadata_columns=["year"],
        batch_size=8,
        show_progress_bar=True,
    )
    assert {name: sum(moved) for name, moved in steps.items()} == {"Reading metadata": 41, "Indexing": 41}
    assert len(steps["Indexing"]) > 4


@pytest.mark.parametrize("kind", ["int8", "hnsw"])
def test_bars_move_while_the_structure_is_made(
    kind: str, model: SimCSE, sentences: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every row is counted once as it is added; a clock runs while FAISS trains and tunes."""
    monkeypatch.setattr("simcse_kit.search.structure._ADDED", 10)
    monkeypatch.setattr("simcse_kit.search.making._SECOND", 1e-3)
    create = FactoryKind.create

    def slowly(self: FactoryKind, *given: Any) -> Any:
        time.sleep(0.05)
        return create(self, *given)

    monkeypatch.setattr(FactoryKind, "create", slowly)
    moved: list[tuple[str, float]] = []
    ticks: list[str] = []
    bars = "tqdm.auto.tqdm"
    monkeypatch.setattr(f"{bars}.update", lambda self, n=1: not self.disable and moved.append((self.desc, n)))
    monkeypatch.setattr(f"{bars}.refresh", lambda self, *_, **__: ticks.append(self.desc))

    def added() -> list[float]:
        return [count for what, count in moved if what.startswith("Adding rows")]

    (tmp_path / "a.txt").write_text("\n".join(sentences), encoding="utf-8")
    index, _ = build_index(model, tmp_path / "a.txt", tmp_path / "i", kind=kind, show_progress_bar=True)
    assert sum(added()) == len(sentences)
    assert max(added()) <= 10
    assert ticks.count(f"Training {kind}") > 5
    before = len(ticks), len(moved)
    index.save(tmp_path / "copy")
    index.compact()
    assert (len(ticks), len(moved)) == before  # if no bar is requested
    index.compact(show_progress_bar=True)
    assert sum(added()) == 2 * len(sentences)


def test_in_parts_is_at_once(
    model: SimCSE, sentences: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    (tmp_path / "a.txt").write_text("\n".join(sentences), encoding="utf-8")
    whole, _ = build_index(model, tmp_path / "a.txt", store.place("whole"), **store.options)
    monkeypatch.setattr("simcse_kit.index.incoming.READ", 7)
    monkeypatch.setattr("simcse_kit.index.build.COMMITTED", 14)
    parts, _ = build_index(model, tmp_path / "a.txt", store.place("parts"), kind="int8", **store.options)
    assert parts.info().structure is not None
    assert [row for row, _ in parts._collection.rows()] == [row for row, _ in whole._collection.rows()]
    for one, other in zip(parts.search(sentences, 3), whole.search(sentences, 3), strict=True):
        assert [hit.text for hit in one] == [hit.text for hit in other]


def test_a_build_that_fails_leaves_nothing(model: SimCSE, tmp_path: Path, store: Store) -> None:
    (tmp_path / "t.csv").write_text("id,text\na,one\na,two\n", encoding="utf-8")
    with pytest.raises(SearchIndexError, match="id 'a' occurs twice"):
        build_index(model, tmp_path / "t.csv", store.place("i"), columns=["text"], id_column="id", **store.options)
    with pytest.raises(DataError, match="no column named 'nope'"):
        build_index(
            model, tmp_path / "t.csv", store.place("i"), columns=["text"], metadata_columns=["nope"], **store.options
        )
    (tmp_path / "blank.jsonl").write_text('{"text": ""}\n', encoding="utf-8")
    with pytest.raises(DataError, match="no row is left"):
        build_index(model, tmp_path / "blank.jsonl", store.place("i"), **store.options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blank.jsonl", "t.csv"]
    build_index(model, tmp_path / "t.csv", store.place("i"), columns=["text"], **store.options)
    with pytest.raises(SearchIndexError, match="already exists"):
        build_index(model, tmp_path / "t.csv", store.place("i"), columns=["text"], **store.options)
    assert len(SentenceIndex.open(store.place("i"), model, **store.options)) == 2


def test_a_folder_with_something_else_is_left_alone(model: SimCSE, table: Path, tmp_path: Path) -> None:
    (tmp_path / "i").mkdir()
    (tmp_path / "i" / "mine.txt").write_text("")
    with pytest.raises(SearchIndexError, match="already exists and is not empty"):
        build_index(model, table, tmp_path / "i", columns=["text"])


def test_what_a_killed_build_left_does_not_stand_in_the_way(model: SimCSE, table: Path, tmp_path: Path) -> None:
    (tmp_path / ".i.building").mkdir()
    (tmp_path / ".i.building" / "manifest.json").write_text("{")
    build_index(model, table, tmp_path / "i", columns=["text"])
    assert len(SentenceIndex.open(tmp_path / "i", model)) == 40
    assert not list(tmp_path.glob(".*"))


def test_two_builds_of_one_index_at_once(model: SimCSE, table: Path, tmp_path: Path) -> None:
    """The second build gets an error while the first one runs, and does not disturb it."""
    said: list[str] = []

    def second(*arguments: object, **options: object) -> object:
        if not said:
            with pytest.raises(SearchIndexError) as caught:
                build_index(model, table, tmp_path / "i", columns=["text"])
            said.append(str(caught.value))
        return encode(*arguments, **options)  # type: ignore[arg-type]

    encode = model.encode_document
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "encode_document", second)
        index, counts = build_index(model, table, tmp_path / "i", columns=["text"])
    assert f"is being built by process {os.getpid()}" in said[0]
    assert (len(index), counts.rows) == (40, 40)
    index.verify()
    assert not list(tmp_path.glob(".*"))


def test_an_index_that_came_meanwhile_stays(
    model: SimCSE, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.rename

    def late(source: Path, target: Path) -> None:
        SentenceIndex.build(model, ["somebody else's"]).save(target)
        rename(source, target)

    monkeypatch.setattr("simcse_kit.index.build.os.rename", late)
    with pytest.raises(SearchIndexError, match="already exists and is not empty"):
        build_index(model, table, tmp_path / "i", columns=["text"])
    assert len(SentenceIndex.open(tmp_path / "i", model)) == 1
    assert not list(tmp_path.glob(".*"))


def test_a_build_takes_an_empty_folder_a_link_and_what_a_killed_save_left(
    model: SimCSE, table: Path, tmp_path: Path
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / ".writing-0123456789abcdef").touch()
    (tmp_path / "real" / "rows-000001-0123456789abcdef.sqlite").write_bytes(b"half")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    build_index(model, table, tmp_path / "link", columns=["text"])
    assert (tmp_path / "link").is_symlink()
    assert len(SentenceIndex.open(tmp_path / "real", model)) == 40
    with pytest.raises(SearchIndexError, match="File name too long"):
        build_index(model, table, tmp_path / ("n" * 250), columns=["text"])


def test_adding_files_goes_on(model: SimCSE, table: Path, tmp_path: Path, store: Store) -> None:
    index, _ = build_index(model, table, store.place("i"), columns=["text"], id_column="key", **store.options)
    (tmp_path / "new.csv").write_text("key,text\nn1,A new one.\n", encoding="utf-8")
    assert add_files(index, tmp_path / "new.csv", columns=["text"], id_column="key").rows == 1
    again = SentenceIndex.open(store.place("i"), model, **store.options)
    assert again.search("A new one.", 1)[0].id == "n1"
    with pytest.raises(SearchIndexError, match="id 'n1' already exists"):
        add_files(again, tmp_path / "new.csv", columns=["text"], id_column="key")
    assert len(SentenceIndex.open(store.place("i"), model, **store.options)) == 41


def test_updating_and_deleting_sentences(model: SimCSE, sentences: list[str], store: Store) -> None:
    index = SentenceIndex.build(
        model, sentences[:5], ids=list("abcde"), metadata=[{"n": i} for i in range(5)], **store.options
    )
    index.update([sentences[9]], ["b"], [{"n": 9}])
    assert index.search(sentences[9], 1)[0][:2] == ("b", sentences[9])
    assert index.delete(filter={"n": {"$gte": 3}}) == 3
    index.save(store.place("i"))
    again = SentenceIndex.open(store.place("i"), **store.options)
    assert {row.id for row in again.get(["a", "c"])} == {"a", "c"}
    assert again.similar("a", 5)[0].id == "c"
    again.compact()
    again.verify()
    assert again.info().count == 2


def test_the_commands(model_folder: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object, fails: bool = False) -> str:
        if MILVUS:  # in this process: reopening a Milvus Lite file many times is slow
            result = CliRunner().invoke(app, [*map(str, arguments), "--store", "milvus", "--uri", "commands.db"])
            assert (result.exit_code != 0) == fails, result.output
            return str(result.exception) if fails else result.stdout
        done = commands.run(*arguments)
        assert (done.returncode != 0) == fails, done.stderr
        return done.stderr if fails else done.stdout

    built = run(
        "index",
        "build",
        model_folder,
        table,
        "i",
        "--columns",
        "text",
        "--id-column",
        "key",
        "--metadata-columns",
        "lang,year",
    )
    assert "40 sentences indexed in i, 1 empty line dropped" in built
    (tmp_path / "new.csv").write_text("key,text\nn1,A new one.\n", encoding="utf-8")
    assert "1 sentence added to i, which has 41" in run(
        "index", "add", "i", "new.csv", "--columns", "text", "--id-column", "key", "--metadata-columns", ""
    )
    assert "1 deleted from i, which now has 40" in run("index", "delete", "i", "k7")
    assert "this index has no id 'k7'" in run("index", "delete", "i", "k7", fails=True)
    assert "2 deleted from i" in run("index", "delete", "i", "--filter", '{"year": {"$gte": 2038}}')
    assert "is not valid JSON" in run("search", "i", "x", "--filter", "lang=en", fails=True)
    found = json.loads(run("search", "i", SENTENCES[4], "--filter", '{"lang": "de"}', "--format", "json", "-k", "50"))
    assert found["hits"][0]["text"] == SENTENCES[4]
    assert {hit["metadata"]["lang"] for hit in found["hits"]} == {"de"}
    info = run("index", "info", "i")
    assert ("38, and 0 deleted" if MILVUS else "38, and 3 deleted rows until the next compact") in info
    assert "lang (text), year (integer)" in info
    assert "its fields are: lang (text), year (integer)" in run(
        "search", "i", "x", "--filter", '{"size": 1}', fails=True
    )
    assert ("Milvus compacts" if MILVUS else "3 deleted rows removed") in run("index", "compact", "i")
    assert "is intact: 38 sentences" in run("index", "verify", "i")
    mined = run("mine", "i", "--threshold", "0.5", "--output", "pairs.jsonl")
    assert "pairs with a cosine of at least 0.5" in mined
    pairs = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text(encoding="utf-8").splitlines()]
    assert all(pair["score"] >= 0.5 for pair in pairs)
    assert "already exists" in run("mine", "i", "--output", "pairs.jsonl", fails=True)
    run("cluster", "i", "-k", "4", "--output", "clusters.jsonl")
    assert len((tmp_path / "clusters.jsonl").read_text(encoding="utf-8").splitlines()) == 38
    if MILVUS:
        assert "letters, digits and underscores" in run("index", "info", "my-index", fails=True)
        return
    (path,) = (tmp_path / "i").glob("rows-*")
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(bytes(raw))
    assert f"{path.name} is damaged" in run("index", "verify", "i", fails=True)


def test_a_build_is_tuned_by_queries(model: SimCSE, sentences: list[str], tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text(
        "\n".join(f"{s} {i}" for i in range(10) for s in sentences) + "\n", encoding="utf-8"
    )
    index, _ = build_index(model, tmp_path / "t.txt", tmp_path / "i", kind="int8", queries=sentences[:30])
    entry = index.info().structure
    assert entry is not None
    assert (entry.given, entry.queries) == (True, 30)
    with pytest.raises(SearchIndexError, match="at least one"):
        index.tune_by([])
