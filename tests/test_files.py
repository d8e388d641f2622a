"""A folder appears whole or not at all, whatever goes wrong while it is written."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from simcse_kit import SimCSEKitError
from simcse_kit.errors import ModelError
from simcse_kit.files import (
    DiskFullError,
    disk_full_named,
    existing_parent,
    free_bytes,
    read_json,
    staged_folder,
    write_json,
)


def content(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_success_is_the_whole_folder(tmp_path: Path) -> None:
    with staged_folder(tmp_path / "deep" / "m") as staging:
        (staging / "a").write_text("1")
        (staging / "sub").mkdir()
        (staging / "sub" / "b").write_text("2")
        assert not (tmp_path / "deep" / "m").exists()
    assert content(tmp_path) == {"deep/m/a": "1", "deep/m/sub/b": "2"}


def test_other_files_of_a_folder_stay(tmp_path: Path) -> None:
    target = tmp_path / "m"
    target.mkdir()
    (target / "a").write_text("old")
    (target / "mine").write_text("mine")
    with staged_folder(target) as staging:
        (staging / "a").write_text("new")
    assert content(target) == {"a": "new", "mine": "mine"}
    assert sorted(path.name for path in target.iterdir()) == ["a", "mine"]


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("failure", [RuntimeError("no"), KeyboardInterrupt(), OSError(errno.ENOSPC, "full")])
def test_failure_changes_nothing(tmp_path: Path, exists: bool, failure: BaseException) -> None:
    target = tmp_path / "m"
    if exists:
        target.mkdir()
        (target / "a").write_text("old")
    expected = DiskFullError if isinstance(failure, OSError) else type(failure)

    def write() -> None:
        with staged_folder(target) as staging:
            (staging / "a").write_text("new")
            raise failure

    with pytest.raises(expected):
        write()
    assert content(tmp_path) == ({"m/a": "old"} if exists else {})
    assert target.exists() == exists
    assert [path.name for path in tmp_path.iterdir()] == (["m"] if exists else [])


def test_leftovers_of_a_killed_run_are_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / ".m.staging").mkdir()
    (tmp_path / ".m.staging" / "half").write_text("half")
    with staged_folder(tmp_path / "m") as staging:
        (staging / "a").write_text("1")
    assert content(tmp_path) == {"m/a": "1"}


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
    ],
    ids=str,
)
def test_a_full_disk_has_a_name(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(DiskFullError, match=f"no space left on the disk of {tmp_path}"), disk_full_named(tmp_path):
        raise error


def test_other_errors_pass_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no") as caught, disk_full_named(tmp_path):
        raise PermissionError(errno.EACCES, "no")
    assert type(caught.value) is PermissionError


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A disk of 256 KiB: a tmpfs where this process may mount one, else None."""
    mounted = tmp_path / "disk"
    mounted.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(mounted)], capture_output=True, check=False
    )
    yield mounted if done.returncode == 0 else None
    if done.returncode == 0:
        subprocess.run(["umount", "--lazy", str(mounted)], check=True)


def test_a_disk_that_is_really_full(small_disk: Path | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from safetensors.torch import save_file

    disk = small_disk or tmp_path
    if small_disk is None:

        def full(*_: Any, **__: Any) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(torch, "save", full)
        monkeypatch.setattr(Path, "write_bytes", full)
        monkeypatch.setitem(globals(), "save_file", full)
    with staged_folder(disk / "m") as staging:
        (staging / "a").write_text("kept")
    big = torch.zeros(200_000)

    def write_all(write: Any) -> None:
        with staged_folder(disk / "m") as staging:
            (staging / "a").write_text("new")
            write(staging / "big")

    for write in (
        lambda path: path.write_bytes(bytes(800_000)),
        lambda path: torch.save(big, path),
        lambda path: save_file({"x": big}, path) if small_disk else torch.save(big, path),
    ):
        with pytest.raises(DiskFullError, match="no space left"):
            write_all(write)
        assert content(disk / "m") == {"a": "kept"}


def test_json(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"naïve": ["안녕", 1.5, None]})
    assert read_json(tmp_path / "a.json") == {"naïve": ["안녕", 1.5, None]}
    assert "안녕" in (tmp_path / "a.json").read_text(encoding="utf-8")
    (tmp_path / "b.json").write_bytes(b'{"a": \xff}')
    with pytest.raises(SimCSEKitError, match=r"b\.json is not JSON"):
        read_json(tmp_path / "b.json")
    with pytest.raises(ModelError, match=r"c\.json is missing"):
        read_json(tmp_path / "c.json", ModelError)


def test_places(tmp_path: Path) -> None:
    assert existing_parent(tmp_path / "a" / "b") == tmp_path
    assert free_bytes(tmp_path / "a" / "b") > 0
