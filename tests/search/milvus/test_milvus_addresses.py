"""An index by its address: built, saved, opened, extended, served; no secret in a message."""

from __future__ import annotations

import fcntl
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from simcse_kit import SearchIndexError, SentenceIndex, SimCSE, errors
from simcse_kit.cli import app
from simcse_kit.errors import Notice
from simcse_kit.index import add_files, build_index
from simcse_kit.search import Collection
from simcse_kit.search.milvus import remote
from simcse_kit.search.milvus.remote import Connection
from simcse_kit.serving import open_targets
from support.stores import Store, milvus_uri


@pytest.fixture
def address(store: Store) -> str:
    return f"milvus:{milvus_uri()}/{store.place().name}"


@pytest.fixture
def table(tmp_path: Path, sentences: list[str]) -> Path:
    (tmp_path / "t.txt").write_text("\n".join(sentences[:12]) + "\n", encoding="utf-8")
    return tmp_path / "t.txt"


def test_an_address_in_python(model: SimCSE, table: Path, sentences: list[str], address: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", Notice)
        index, counts = build_index(model, table, address)
        assert (len(index), counts.rows) == (12, 12)
        assert add_files(address, table).rows == 12
        again = SentenceIndex.open(Path(address))
        assert len(again) == 24
        assert again.search(sentences[3], 1)[0].text == sentences[3]
        indexes, models = open_targets([f"mine={address}", address])
    assert (list(indexes), models) == (["mine", address.rpartition("/")[2]], {})


def test_a_file_that_another_process_uses_is_an_error_without_a_traceback(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "used.db").mkdir()
    with (tmp_path / "used.db" / "LOCK").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(
            SearchIndexError, match=r"cannot open Milvus at .*used\.db: .*; is another process using it"
        ):
            Connection(str(tmp_path / "used.db"))
    assert not caplog.records
    assert "Traceback" not in capfd.readouterr().err


def test_an_index_is_copied_to_an_address(
    model: SimCSE, sentences: list[str], address: str, store: Store, tmp_path: Path
) -> None:
    about: list[dict[str, Any]] = [{"n": i} for i in range(5)]
    index = SentenceIndex.build(model, sentences[:5], list("abcde"), about)
    index.save(tmp_path / "i")
    assert index.save(address) == Path(address.rpartition("/")[2])
    index.add(["another"], ["f"])
    index.save()
    again = SentenceIndex.open(address, model)
    assert len(again) == 6
    assert again.get(["c"])[0] == SentenceIndex.open(tmp_path / "i", model).get(["c"])[0]
    planned = SentenceIndex.build(model, sentences[:5], folder=f"{address}_2")
    planned.save()
    assert len(SentenceIndex.open(f"{address}_2", model)) == 5
    with pytest.raises(SearchIndexError, match="a Collection is saved to a folder; got milvus:"):
        Collection(4).save(address)


def test_the_commands_take_an_address(model_folder: Path, table: Path, address: str) -> None:
    def run(*arguments: object) -> str:
        result = CliRunner().invoke(app, [*map(str, arguments)])
        assert result.exit_code == 0, result.output
        return result.stdout

    built = run("index", "build", model_folder, table, address)
    assert "12 sentences indexed in" in built
    assert f"next: simcse-kit search {address} 'your question'" in built.replace("\n", " ")
    assert "Milvus" in run("index", "info", address)
    assert json.loads(run("search", address, "a query", "--format", "json"))["hits"]
    assert "12 sentences" in " ".join(run("index", "verify", address).split())
    run("mine", address)
    run("cluster", address, "-k", "2")
    assert "1 deleted" in run("index", "delete", address, 3)


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in an error nor in its cause, whatever the server answers."""
    monkeypatch.setattr(remote, "CONNECT", 0.5)
    monkeypatch.setenv("MILVUS_TOKEN", "secret-token")
    monkeypatch.setattr(errors, "_said", set())
    with pytest.raises(SearchIndexError) as caught:
        SentenceIndex.open("milvus:http://me:hush-hush@127.0.0.1:9/x")
    shown = str(caught.value)
    assert shown.startswith("cannot open Milvus at http://me:***@127.0.0.1:9: ")
    assert "hush" not in shown + str(caught.value.__cause__)


def test_what_a_server_says_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = Connection(milvus_uri(), "secret-token")

    def refuse(**arguments: Any) -> None:
        raise ValueError("token secret-token of http://me:hush-hush@host is not known")

    monkeypatch.setattr(connection.client, "list_collections", refuse)
    with pytest.raises(SearchIndexError) as caught:
        connection.call("list_collections")
    assert str(caught.value).endswith("list_collections: token *** of http://me:***@host is not known")
    assert caught.value.__cause__ is None
