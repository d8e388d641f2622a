"""An index that follows its file: equal to a newly built one, and nothing is encoded twice."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from simcse_kit import DataError, IndexChangedError, SearchIndexError, SentenceIndex, SimCSE, build_index, sync_files
from simcse_kit.index import sync as syncing
from simcse_kit.index.sync import one_update
from support.commands import run
from support.stores import Store
from support.tiny import SENTENCES

HOW: dict[str, Any] = {"columns": ["text"], "id_column": "key", "metadata_columns": ["lang"]}
Rows = dict[str, tuple[str, str]]


def rows_of(count: int = 40) -> Rows:
    """Texts with a language, by key."""
    return {f"k{i}": (text, "en" if i % 2 else "de") for i, text in enumerate(SENTENCES[:count])}


def write(path: Path, rows: Rows) -> Path:
    lines = [f'{key},"{text}",{lang}' for key, (text, lang) in rows.items()]
    path.write_text("\n".join(["key,text,lang", *lines, ""]), encoding="utf-8")
    return path


def content(index: SentenceIndex) -> dict[object, tuple[str, object]]:
    return {row.id: (row.text, row.metadata) for row, _ in index._collection.rows()}


def generation(index: SentenceIndex) -> int:
    return index.info().generation


@pytest.fixture
def encoded(model: SimCSE, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that the model encodes as a document from now on."""
    encode, texts = model.encode_document, list[str]()

    def counted(sentences: list[str], **options: Any) -> Any:
        texts.extend(sentences)
        return encode(sentences, **options)

    monkeypatch.setattr(model, "encode_document", counted)
    return texts


def changed(rows: Rows) -> Rows:
    """Three are missing, one has another text, one other metadata, two are new, and the order differs."""
    new = {key: row for key, row in reversed(rows.items()) if key not in ("k3", "k20", "k39")}
    new["k5"] = ("Another text.", new["k5"][1])
    new["k7"] = (new["k7"][0], "fr")
    return {"n1": ("A new one.", "en"), **new, "n2": ("The second new one.", "de")}


def test_a_sync_is_a_build_afresh(model: SimCSE, encoded: list[str], tmp_path: Path, store: Store) -> None:
    before, after = write(tmp_path / "a.csv", rows_of()), write(tmp_path / "b.csv", changed(rows_of()))
    index, _ = build_index(model, before, store.place("i"), **HOW, **store.options)
    encoded.clear()
    assert sync_files(index, after, delete_missing=True)[:5] == (2, 2, 3, 35, 4)
    assert sorted(encoded) == ["A new one.", "Another text.", SENTENCES[7], "The second new one."]
    again = SentenceIndex.open(store.place("i"), model, **store.options)
    again.verify()
    fresh, _ = build_index(model, after, store.place("fresh"), **HOW, **store.options)
    assert content(again) == content(index) == content(fresh)
    for one, other in zip(again.search(SENTENCES, 5), fresh.search(SENTENCES, 5), strict=True):
        assert [hit.score for hit in one] == pytest.approx([hit.score for hit in other], abs=1e-5)
        assert one[0][:2] == other[0][:2]


def test_the_second_sync_does_nothing(model: SimCSE, encoded: list[str], tmp_path: Path, store: Store) -> None:
    file = write(tmp_path / "a.csv", rows_of())
    index, _ = build_index(model, file, store.place("i"), **HOW, **store.options)
    before = generation(index)
    encoded.clear()
    for _ in range(2):
        assert sync_files(index, file, delete_missing=True) == (0, 0, 0, 40, 0, 0, 0)
    about = [{"lang": lang} for _, lang in rows_of().values()]
    assert index.sync(SENTENCES, list(rows_of()), about, delete_missing=True).unchanged == 40
    assert encoded == []
    assert generation(SentenceIndex.open(store.place("i"), model, **store.options)) == before


def test_without_being_asked_nothing_is_deleted(model: SimCSE, tmp_path: Path, store: Store) -> None:
    index, _ = build_index(model, write(tmp_path / "a.csv", rows_of()), store.place("i"), **HOW, **store.options)
    assert sync_files(index, write(tmp_path / "b.csv", rows_of(3)))[:4] == (0, 0, 0, 3)
    assert len(index) == 40


@pytest.mark.parametrize(("kept", "most", "passes"), [(32, 0.2, True), (31, 0.2, False), (31, 0.23, True)])
def test_no_more_is_deleted_than_may_be(
    kept: int, most: float, passes: bool, model: SimCSE, encoded: list[str], tmp_path: Path
) -> None:
    index, _ = build_index(model, write(tmp_path / "a.csv", rows_of()), tmp_path / "i", **HOW)
    file = write(tmp_path / "b.csv", {**rows_of(kept), "n1": ("A new one.", "en")})
    encoded.clear()
    if passes:
        assert sync_files(index, file, delete_missing=True, max_delete=most).deleted == 40 - kept
        return
    with pytest.raises(SearchIndexError, match=r"9 of 40 rows \(22\.5 %\) are .* limit is 20 %\. .*--max-delete 0\.23"):
        sync_files(index, file, delete_missing=True, max_delete=most)
    assert encoded == []
    assert content(SentenceIndex.open(tmp_path / "i", model)) == content(index)
    assert len(index) == 40


def test_nothing_that_comes_is_no_reason_to_delete(model: SimCSE, tmp_path: Path) -> None:
    index, _ = build_index(model, write(tmp_path / "a.csv", rows_of()), tmp_path / "i", **HOW)
    for rows in ({}, {"k1": ("", "en")}):
        with pytest.raises(DataError, match="no row"):
            sync_files(index, write(tmp_path / "b.csv", rows), delete_missing=True, max_delete=1)
    with pytest.raises(SearchIndexError, match=r"so the index would be empty \(40 rows deleted\)"):
        index.sync([], [], delete_missing=True, max_delete=1)
    lines = ['{"key": "k1", "text": "One.", "lang": "en"}', '{"key": null, "text": "Two."}', ""]
    (tmp_path / "c.jsonl").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(SearchIndexError, match="skipped 1 bad row, which would count as missing"):
        sync_files(index, tmp_path / "c.jsonl", skip_bad_rows=True, delete_missing=True, max_delete=1)
    assert len(index) == 40


def test_an_id_that_comes_twice_is_an_error(
    model: SimCSE, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    """In whatever parts; nothing is changed."""
    monkeypatch.setattr("simcse_kit.index.incoming.READ", 2)
    index, _ = build_index(model, write(tmp_path / "a.csv", rows_of(3)), store.place("i"), **HOW, **store.options)
    for twice in ("n1,one,en\nn2,two,en\nn1,three,en", "k1,one,en\nk0,two,en\nk1,one,en"):
        (tmp_path / "b.csv").write_text(f"key,text,lang\n{twice}\n", encoding="utf-8")
        with pytest.raises(SearchIndexError, match="occurs twice"):
            sync_files(index, tmp_path / "b.csv")
    assert content(index) == content(SentenceIndex.open(store.place("i"), model, **store.options))
    assert len(index) == 3


def test_what_is_compared_is_type_and_all(model: SimCSE) -> None:
    index = SentenceIndex.build(model, ["a", "b", "c"], [1, 2, 3], [{"n": 1}, {"n": True}, {"n": [1, {"x": "é"}]}])
    same = index.sync(["a", "b", "c"], [1, 2, 3], [{"n": 1}, {"n": True}, {"n": (1, {"x": "é"})}])
    assert same == (0, 0, 0, 3, 0, 0, 0)
    assert index.sync(["a", "b"], [1, 2], [{"n": 1.0}, {"n": True}])[:4] == (0, 1, 0, 1)
    assert index.sync(["a", "b"], [1, 2], None)[:4] == (0, 2, 0, 0)
    assert index.sync(["c"], [3], delete_missing=True, max_delete=1)[:4] == (0, 1, 2, 0)
    assert content(index) == {3: ("c", None)}
    with pytest.raises(SearchIndexError, match="2 texts need 2 ids; got 1"):
        index.sync(["a", "b"], [1])
    with pytest.raises(SearchIndexError, match="max_delete must be a share"):
        index.sync(["a"], [1], max_delete=20)


def test_documents_are_replaced_with_all_of_their_passages(
    tiny_model: Any, encoded: list[str], tmp_path: Path, store: Store
) -> None:
    model = SimCSE(tiny_model("bert"), pooling="mean", device="cpu", max_seq_length=24)
    long, short = " ".join(SENTENCES[:8]), " ".join(SENTENCES[8:11])
    rows = {"d1": (long, "en"), "d2": (long, "de"), "d3": (short, "en"), "d#4": (SENTENCES[3], "en")}
    index, _ = build_index(
        model, write(tmp_path / "a.csv", rows), store.place("i"), passages=True, **HOW, **store.options
    )
    before = len(index)
    assert sync_files(index, tmp_path / "a.csv", delete_missing=True)[:4] == (0, 0, 0, 4)
    rows = {"d1": (short, "en"), "d3": (long, "en"), "d#4": (SENTENCES[3], "en"), "d5": (short, "en")}
    file = write(tmp_path / "b.csv", rows)
    assert sync_files(index, file, delete_missing=True, max_delete=1)[:4] == (1, 2, 1, 1)
    fresh, _ = build_index(model, file, store.place("fresh"), passages=True, **HOW, **store.options)
    assert content(index) == content(fresh)
    assert len(index) != before
    assert index.sync([SENTENCES[0]], ["d3"], [{"lang": "en"}])[:4] == (0, 1, 0, 0)
    index.commit(lambda now: now.delete(["d1#0"]))
    assert index.sync([short], ["d1"], [{"lang": "en"}])[:4] == (0, 1, 0, 0)
    assert index.delete_documents(["d#4", "d5", "nope"]) == 2
    assert {str(id_).rpartition("#")[0] for id_ in content(index)} == {"d1", "d3"}


@pytest.mark.parametrize("committed", [1, 7])
def test_many_changes_are_several_commits(
    committed: int, model: SimCSE, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simcse_kit.index.incoming.READ", 4)
    monkeypatch.setattr(syncing, "COMMITTED", committed)
    index, _ = build_index(model, write(tmp_path / "a.csv", rows_of(20)), tmp_path / "i", **HOW)
    before, after = generation(index), {key: (text + "!", lang) for key, (text, lang) in rows_of(30).items()}
    file = write(tmp_path / "b.csv", after)
    seen: list[int] = []

    def stopping(*given: Any, **named: Any) -> Any:
        seen.append(1)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return encode(*given, **named)

    encode = model.encode_document
    with monkeypatch.context() as patch:
        patch.setattr(model, "encode_document", stopping)
        with pytest.raises(KeyboardInterrupt):
            sync_files(index, file)
    again = SentenceIndex.open(tmp_path / "i", model)
    done = sum(1 for text, _ in content(again).values() if text.endswith("!"))
    assert done == {1: 12, 7: 8}[committed]
    found = sync_files(again, file)
    assert (found.added + found.changed, found.unchanged) == (30 - done, done)
    assert generation(again) > before + 1
    assert {str(id_): text for id_, (text, _) in content(again).items()} == {k: text for k, (text, _) in after.items()}


def test_two_updates_at_once(model: SimCSE, tmp_path: Path) -> None:
    """The second one gets an error that names the first, or waits for it."""
    index, _ = build_index(model, write(tmp_path / "a.csv", rows_of(5)), tmp_path / "i", **HOW)
    file = write(tmp_path / "b.csv", rows_of(6))
    with one_update(tmp_path / "i"):
        with pytest.raises(SearchIndexError, match=r"is being updated by process \d+ on .*; try again .* --wait"):
            sync_files(tmp_path / "i", file)
        busy = run("index", "update", "i", file, cwd=tmp_path)
        assert (busy.returncode, "is being updated by process" in busy.stderr) == (1, True)
        waiting = threading.Thread(target=sync_files, args=(index, file), kwargs={"wait": True})
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
        assert len(index) == 5
    waiting.join(60)
    assert len(SentenceIndex.open(tmp_path / "i", model)) == 6
    assert not list((tmp_path / "i").glob(".*"))


def test_the_lock_of_an_index_in_milvus_is_this_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with one_update("things", "m.db"):
        with (
            pytest.raises(SearchIndexError, match="things is being updated by process"),
            one_update("things", str(tmp_path / "m.db")),
        ):
            pass
        with one_update("others", "m.db"), one_update("things", "http://host:19530"):
            pass
    with one_update("things", "m.db", wait=True):
        pass


def test_an_update_comes_after_the_commits_of_others(model: SimCSE, tmp_path: Path) -> None:
    index, _ = build_index(model, write(tmp_path / "a.csv", rows_of(5)), tmp_path / "i", **HOW)
    encode = model.encode_document
    with pytest.MonkeyPatch.context() as patch:

        def meanwhile(*given: Any, **named: Any) -> Any:
            patch.undo()
            SentenceIndex.open(tmp_path / "i", model).commit(
                lambda now: (now.add(["o"], ["other"]), now.delete(["k2"]))
            )
            return encode(*given, **named)

        patch.setattr(model, "encode_document", meanwhile)
        assert sync_files(index, write(tmp_path / "b.csv", rows_of(6)))[:4] == (1, 0, 0, 5)
    found = content(SentenceIndex.open(tmp_path / "i", model))
    assert set(found) == {"k0", "k1", "k3", "k4", "k5", "other"} == set(content(index))


def test_an_index_that_is_gone_is_named(model: SimCSE, tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", rows_of(5))
    index, _ = build_index(model, file, tmp_path / "i", **HOW)
    (tmp_path / "i").rename(tmp_path / "aside")
    with pytest.raises(SearchIndexError, match="does not exist"):
        sync_files(tmp_path / "i", file)
    with pytest.raises(IndexChangedError, match="no longer holds an index"):
        sync_files(index, file)
    assert not (tmp_path / "i").exists()


def test_the_command_counts(model_folder: Path, tmp_path: Path) -> None:
    columns = ["--columns", "text", "--id-column", "key", "--metadata-columns", "lang"]
    write(tmp_path / "a.csv", rows_of())
    assert run("index", "build", model_folder, "a.csv", "i", *columns, cwd=tmp_path).returncode == 0
    write(tmp_path / "a.csv", changed(rows_of()))
    for said in (
        "2 added, 2 changed, 3 deleted, 35 unchanged in i",
        "0 added, 0 changed, 0 deleted, 39 unchanged in i",
    ):
        done = run("index", "update", "i", "a.csv", "--delete-missing", cwd=tmp_path)
        assert said in done.stdout, done.stderr
    write(tmp_path / "a.csv", rows_of(10))
    refused = run("index", "update", "i", "a.csv", "--delete-missing", cwd=tmp_path)
    assert (refused.returncode, "--max-delete" in refused.stderr) == (1, True)
    done = run("index", "update", "i", "a.csv", "--delete-missing", "--max-delete", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    write(tmp_path / "b.csv", {"k1": ("Changed.", "en"), "n9": ("New.", "en")})
    added = run("index", "add", "i", "b.csv", "--on-conflict", "update", cwd=tmp_path)
    assert "2 sentences added to i, which has 11; 1 of them replaced stored" in added.stdout


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an index in Milvus has the lock of its updates."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
