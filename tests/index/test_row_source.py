"""An index records how files become its rows: columns, ids, metadata, passages, language."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from simcse_kit import DataError, SearchIndexError, SentenceIndex, SimCSE, add_files, build_index, sync_files
from simcse_kit.search.store import MANIFEST, own_checksum
from support.commands import run
from support.stores import Store

HOW: dict[str, Any] = {"columns": ["text"], "id_column": "key", "metadata_columns": ["lang"], "language": "de"}


def table(path: Path, *rows: str) -> Path:
    """A file of keys, notes, texts and languages."""
    path.write_text("\n".join(["key,note,text,lang", *rows, ""]), encoding="utf-8")
    return path


@pytest.fixture
def first(tmp_path: Path) -> Path:
    return table(tmp_path / "first.csv", "a,x,The train is late.,en", "b,y,I lost my keys.,de")


def test_an_add_needs_no_column_again(model: SimCSE, first: Path, tmp_path: Path, store: Store) -> None:
    index, _ = build_index(model, first, store.place("i"), **HOW, **store.options)
    remembered = index.info().source
    assert remembered == {**HOW, "passages": False}
    add_files(index, table(tmp_path / "more.csv", "c,z,It will rain.,fr"))
    again = SentenceIndex.open(store.place("i"), model, **store.options)
    assert again.get(["c"]) == [("c", "It will rain.", {"lang": "fr"})]
    again.compact()
    again.save(store.place("copy"))
    assert SentenceIndex.open(store.place("copy"), model, **store.options).info().source == remembered


def test_other_columns_are_used_where_they_harm_nothing(
    model: SimCSE, first: Path, tmp_path: Path, store: Store
) -> None:
    index, _ = build_index(model, first, store.place("i"), **HOW, **store.options)
    more = table(tmp_path / "more.csv", "c,A note.,It will rain.,fr")
    add_files(index, more, columns=["note"], metadata_columns=[], id_column="key", passages=False)
    assert index.get(["c"]) == [("c", "A note.", None)]
    with pytest.raises(SearchIndexError, match="has ids from the column key; ids from the column note would be"):
        add_files(index, more, id_column="note")
    with pytest.raises(SearchIndexError, match="holds whole texts; passages would be mixed with them"):
        sync_files(index, more, passages=True)
    assert len(index) == 3
    assert index.info().source == {**HOW, "passages": False}


def test_rows_with_numbers_are_not_mixed_with_ids(model: SimCSE, first: Path, store: Store) -> None:
    index, _ = build_index(model, first, store.place("i"), columns=["text"], **store.options)
    with pytest.raises(SearchIndexError, match="this index has numbered rows; ids from the column key would be mixed"):
        add_files(index, first, id_column="key")
    for given in (None, "key"):
        again = f"numbered rows, so a file cannot be compared .* build it again with --id-column {given or 'NAME'}"
        with pytest.raises(SearchIndexError, match=again):
            sync_files(index, first, id_column=given)
        with pytest.raises(SearchIndexError, match=again):
            add_files(index, first, id_column=given, on_conflict="skip")
    assert add_files(index, first).rows == 2
    assert [row.id for row, _ in index._collection.rows()] == [0, 1, 2, 3]


def test_an_index_that_remembers_nothing_opens_and_learns(model: SimCSE, first: Path, tmp_path: Path) -> None:
    """As written by an older version, or by Python."""
    SentenceIndex.build(model, ["The train is late."], ["a"]).save(tmp_path / "i")
    values = json.loads((tmp_path / "i" / MANIFEST).read_text(encoding="utf-8"))
    del values["source"]
    values["checksum"] = own_checksum(values)
    (tmp_path / "i" / MANIFEST).write_text(json.dumps(values), encoding="utf-8")
    index = SentenceIndex.open(tmp_path / "i", model)
    assert index.info().source is None
    assert index.sync(["The train is late."], ["a"]).unchanged == 1
    with pytest.raises(SearchIndexError, match="name their column with --id-column"):
        sync_files(index, first)
    given = {"columns": ["text"], "id_column": "key", "metadata_columns": ["lang"]}
    assert sync_files(index, first, **given)[:4] == (1, 1, 0, 0)  # type: ignore[arg-type]
    assert sync_files(tmp_path / "i", first)[:4] == (0, 0, 0, 2)


def test_the_commands_remember_and_speak_json(model_folder: Path, first: Path, tmp_path: Path) -> None:
    columns = ["--columns", "text", "--id-column", "key", "--metadata-columns", "lang"]
    assert run("index", "build", model_folder, first, "i", *columns, cwd=tmp_path).returncode == 0
    table(tmp_path / "more.csv", "b,y,I lost my keys.,de", "c,z,It will rain.,fr")
    refused = run("index", "add", "i", "more.csv", cwd=tmp_path)
    assert refused.returncode == 1
    assert "id 'b' already exists" in refused.stderr
    skipped = run("index", "add", "i", "more.csv", "--on-conflict", "skip", cwd=tmp_path)
    assert "1 sentence added to i, which has 3; 1 kept" in skipped.stdout
    info = json.loads(run("index", "info", "i", "--format", "json", cwd=tmp_path).stdout)
    assert (info["index"], info["count"], info["fields"], info["structure"]) == ("i", 3, {"lang": "text"}, None)
    assert info["source"] == {**HOW, "language": "en", "passages": False}
    shown = run("index", "info", "i", cwd=tmp_path).stdout
    assert "text column text, id column key, metadata columns lang" in " ".join(shown.split())
    whole = json.loads(run("index", "verify", "i", "--format", "json", cwd=tmp_path).stdout)
    assert whole == {"index": "i", "ok": True, "count": 3, "generation": info["generation"]}
    deleted = run("index", "delete", "i", "c", "x", "y", "--missing-ok", cwd=tmp_path).stdout
    assert "1 deleted from i, which now has 2; not found: x, y" in deleted
    (rows,) = (tmp_path / "i").glob("rows-*")
    rows.write_bytes(rows.read_bytes()[:-1])
    damaged = run("index", "verify", "i", "--format", "json", cwd=tmp_path)
    assert damaged.returncode == 1
    assert json.loads(damaged.stdout)["ok"] is False
    assert rows.name in json.loads(damaged.stdout)["error"]


def test_a_remembered_column_that_a_file_lacks_is_named_with_the_way_on(model: SimCSE, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("key,text,lang\na,One.,en\n", encoding="utf-8")
    index, _ = build_index(
        model, tmp_path / "a.csv", tmp_path / "i", columns=["text"], id_column="key", metadata_columns=["lang"]
    )
    (tmp_path / "b.csv").write_text("key,text\nb,Two.\n", encoding="utf-8")
    for change in (add_files, sync_files):
        with pytest.raises(DataError, match=r"no column named 'lang'; .* records --metadata-columns lang; name others"):
            change(index, tmp_path / "b.csv")
        with pytest.raises(DataError, match=r"no column named 'lang'; the columns are key, text$"):
            change(index, tmp_path / "b.csv", metadata_columns=["lang"])
    assert add_files(index, tmp_path / "b.csv", metadata_columns=[]).rows == 1
    (tmp_path / "c.csv").write_text("number,text,lang\nb,Two.,en\n", encoding="utf-8")
    (tmp_path / "d.csv").write_text("key,body,lang\nb,Two.,en\n", encoding="utf-8")
    for change in (add_files, sync_files):
        with pytest.raises(DataError, match=r"no column named 'key'; .* takes its ids from the column key; give the"):
            change(index, tmp_path / "c.csv")
        with pytest.raises(DataError, match=r"'text'; .* takes its texts from the column text; name .* --columns$"):
            change(index, tmp_path / "d.csv")


def test_info_says_how_rows_without_options_are_read(model_folder: Path, first: Path, tmp_path: Path) -> None:
    built = run("index", "build", model_folder, first, "i", cwd=tmp_path)
    assert "rows are numbered; index update needs --id-column NAME" in built.stderr
    (tmp_path / "a.txt").write_text("A line.\n", encoding="utf-8")
    assert "numbered" not in run("index", "build", model_folder, "a.txt", "lines", cwd=tmp_path).stderr
    (tmp_path / "a.csv").write_text("ID,text\n7,A line.\n", encoding="utf-8")
    assert "needs --id-column ID" in run("index", "build", model_folder, "a.csv", "ids", cwd=tmp_path).stderr
    swapped = run("index", "build", "a.csv", model_folder, "swapped", cwd=tmp_path)
    assert "a.csv is a file, not a model; the order is: simcse-kit index build MODEL FILE INDEX" in swapped.stderr
    wrong = run("search", ".", "query", cwd=tmp_path)
    assert f"did you mean {tmp_path / 'i'}?" in wrong.stderr
    assert "index build MODEL FILE INDEX" in run("search", model_folder, "query", cwd=tmp_path).stderr
    shown = " ".join(run("index", "info", "i", cwd=tmp_path).stdout.split())
    assert "read from text column (found by its name) or lines, rows numbered" in shown
    assert "0 deleted rows until the next compact" in shown
    assert "1 segment, commit" in shown
