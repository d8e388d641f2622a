"""JSON files that are damaged, of another kind or hostile: an error with the file's name, and no change."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simcse_kit import ModelError, SimCSE, SimCSEKitError, make_report
from simcse_kit.encoding.bulk.journal import Journal
from simcse_kit.encoding.ray import _open_output
from simcse_kit.files import as_written, complete, read_json
from simcse_kit.training.record import check_same_run
from simcse_kit.training.seeds import seed_models

ODD = {
    "nothing": b"",
    "no UTF-8": b'{"a": "\xff"}',
    "an array": b"[1, 2]",
    "a number": b"3",
    "null": b"null",
    "10,000 brackets": b"[" * 10_000 + b"]" * 10_000,
    "5,000 digits": b'{"a": ' + b"1" * 5_000 + b"}",
    "cut off": b'{"a": 1',
}
WRONG = {"other keys": b'{"a": 1}', "other types": b'{"run": 3, "finished": [], "runs": 4, "arguments": 5}'}


@pytest.mark.parametrize("content", ODD.values(), ids=ODD)
def test_what_is_no_object_is_an_error_by_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "odd.json").write_bytes(content)
    with pytest.raises(ModelError, match=r"odd\.json is not"):
        read_json(tmp_path / "odd.json", ModelError)


def test_a_folder_in_the_place_of_a_file_is_an_error_by_name(tmp_path: Path) -> None:
    (tmp_path / "odd.json").mkdir()
    with pytest.raises(ModelError, match=r"cannot read .*odd\.json: Is a directory"):
        read_json(tmp_path / "odd.json", ModelError)


def test_an_error_of_ours_is_not_wrapped_again(tmp_path: Path) -> None:
    (tmp_path / "odd.json").write_text("{}")
    with pytest.raises(ModelError, match=r"odd\.json is not .* dict, not list"), as_written(tmp_path, ModelError):
        read_json(tmp_path / "odd.json", ModelError, list)


READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "encode": ("journal.json", lambda folder: Journal(folder, {"row_bytes": 4}, front=0)),
    "encode over Ray": ("_simcse_kit.json", lambda folder: _open_output(folder, {"a": 1}, overwrite=False)),
    "seeds": ("seeds.json", seed_models),
    "resume": ("run.json", lambda folder: check_same_run(folder, {"arguments": {"seed": 1}, "processes": 1})),
    "report": ("run.json", lambda folder: make_report([folder], folder / "out.html")),
    "model": ("modules.json", lambda folder: SimCSE(folder, device="cpu")),
}


@pytest.mark.parametrize("content", (ODD | WRONG).values(), ids=[*ODD, *WRONG])
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_names_the_place(reader: str, content: bytes, tmp_path: Path) -> None:
    name, read = READERS[reader]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SimCSEKitError, match=re.escape(str(tmp_path))):
        read(tmp_path)


@pytest.mark.parametrize("outside", ["../victim", "/{}/victim", "sub/../../victim", "link/victim"])
@pytest.mark.parametrize("step", ["place", "remove"])
def test_a_journal_touches_nothing_outside_its_folder(outside: str, step: str, tmp_path: Path) -> None:
    """A model folder may come from anybody, and loading it completes its journal."""
    model, journal = tmp_path / "model", tmp_path / "model" / ".placing-0123abcd"
    journal.mkdir(parents=True)
    (tmp_path / "victim").write_text("mine")
    (model / "link").symlink_to(tmp_path)
    name = outside.format(str(tmp_path).lstrip("/"))
    (journal / "link").mkdir()
    (journal / "link" / "victim").write_text("theirs")
    (journal / "victim").write_text("theirs")
    (journal / ".steps.json").write_text(json.dumps({"place": [], "remove": []} | {step: [name]}))
    with pytest.raises(SimCSEKitError, match=r"link to a place outside the folder|not in its folder"):
        complete(model)
    assert (tmp_path / "victim").read_text() == "mine"


@pytest.mark.parametrize("content", [*ODD.values(), b'{"place": 3, "remove": []}', b'{"steps": []}'])
def test_a_journal_that_is_damaged_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / ".placing-0123abcd").mkdir()
    (tmp_path / ".placing-0123abcd" / ".steps.json").write_bytes(content)
    with pytest.raises(SimCSEKitError, match=r"\.steps\.json"):
        complete(tmp_path)


def test_what_only_begins_like_a_journal_stays(tmp_path: Path) -> None:
    (tmp_path / ".placing-of-mine").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".placing-0123abcd").symlink_to(tmp_path / "elsewhere")
    complete(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".placing-0123abcd", ".placing-of-mine", "elsewhere"]
