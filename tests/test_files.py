"""A folder is written atomically, whatever goes wrong."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from simcse_kit import SimCSEKitError
from simcse_kit.errors import ModelError
from simcse_kit.files import (
    DiskFullError,
    complete,
    disk_full_named,
    existing_parent,
    free_bytes,
    read_json,
    replacing,
    staged_file,
    staged_folder,
    write_json,
)
from support import replace_and_die
from support.marks import fast


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
    for place in (tmp_path / ".m.staging", tmp_path / ".m.staging-0123abcd", tmp_path / "m" / ".staging-0123abcd"):
        place.mkdir(parents=True)
        (place / "half").write_text("half")
    with staged_folder(tmp_path / "m") as folder:
        (folder / "a").write_text("1")
    assert content(tmp_path) == {"m/a": "1"}


def test_a_folder_aside_stays_while_its_writer_lives(tmp_path: Path) -> None:
    with staged_folder(tmp_path / "m") as first:
        (first / "a").write_text("first")
        with staged_folder(tmp_path / "m") as second:
            (second / "a").write_text("second")
        assert content(tmp_path / "m") == {"a": "second"}
    assert content(tmp_path) == {"m/a": "first"}


@pytest.fixture(params=["exchange", "journal"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With the system's exchange of two folders, and without."""
    if request.param == "journal":
        monkeypatch.setattr(replacing, "_exchange_function", lambda: None)
    return str(request.param)


_WAYS = ["exchange", "journal", "first", "overwrite", "overwrite-journal"]


@pytest.mark.parametrize("way", fast(["exchange"], of=_WAYS))
def test_a_kill_at_any_step_leaves_the_old_folder_or_the_new(way: str, tmp_path: Path) -> None:
    command = [sys.executable, replace_and_die.__file__, str(tmp_path / "place"), way]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_two_writers_at_once_leave_one_of_them(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each writes twenty files of one text; a reader finds only one text, and files that were there before."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    target = tmp_path / "m"
    target.mkdir()
    (target / "mine").write_text("mine")

    def write(text: str) -> None:
        for _ in range(5):
            with staged_folder(target) as folder:
                for number in range(20):
                    (folder / f"{number}").write_text(text)

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, "abcd"))
    found = content(tmp_path)
    assert found.pop("m/mine") == "mine"
    assert len(found) == 20
    assert len(set(found.values())) == 1


def test_a_folder_that_went_with_what_another_writer_replaced_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its place is inside the target for a moment, and the target may be exchanged for another folder just then."""
    target = tmp_path / "m"
    target.mkdir()
    tried: list[Path] = []

    def moved(target: Path, inside: Path) -> Path:
        tried.append(inside)
        if len(tried) == 1:
            inside.rmdir()
        return inside

    monkeypatch.setattr("simcse_kit.files.staging.moved_beside", moved)
    with staged_folder(target) as folder:
        (folder / "a").write_text("new")
    assert len(tried) == 2
    assert (target / "a").read_text() == "new"


def test_what_stays_is_the_very_file_and_folder(way: str, tmp_path: Path) -> None:
    """A process that writes into a user's folder, or holds a lock on it, continues in the same folder."""
    target = tmp_path / "m"
    (target / "notes").mkdir(parents=True)
    (target / "link").symlink_to("nowhere")
    target.chmod(0o700)
    for name in ("a", "b", "mine", "notes/mine"):
        (target / name).write_text("old")
    before = {name: (target / name).lstat().st_ino for name in ("mine", "notes", "notes/mine", "link")}
    with staged_folder(target, replaces=lambda path: path == "b") as folder:
        (folder / "a").write_text("new")
        (folder / "c").write_text("new")
    assert {name: (target / name).lstat().st_ino for name in before} == before
    assert content(target) == {"a": "new", "c": "new", "mine": "old", "notes/mine": "old"}
    assert (target / "link").readlink() == Path("nowhere")
    assert stat.S_IMODE(target.stat().st_mode) == 0o700


def test_what_comes_while_folders_are_exchanged_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target, exchange = tmp_path / "m", replacing.exchange
    (target / "notes").mkdir(parents=True)
    for name in ("a", "changed"):
        (target / name).write_text("old")

    def late(one: Path, other: Path) -> None:
        if other == target:
            (target / "part").write_text("late")
            os.replace(target / "part", target / "changed")
            for name in ("new", "notes/new"):
                (target / name).write_text("late")
        exchange(one, other)

    monkeypatch.setattr(replacing, "exchange", late)
    with staged_folder(target) as folder:
        (folder / "a").write_text("new")
        (folder / "b").write_text("new")
    assert content(target) == {"a": "new", "b": "new", "changed": "late", "new": "late", "notes/new": "late"}


def test_a_process_inside_the_folder_stays_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "m"
    target.mkdir()
    (target / "a").write_text("old")
    monkeypatch.chdir(target)
    with staged_folder(Path()) as folder:
        (folder / "a").write_text("new")
        (folder / "b").write_text("new")
    assert sorted(os.listdir()) == ["a", "b"]
    assert content(tmp_path) == {"m/a": "new", "m/b": "new"}


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_text("old")
    (tmp_path / "m").symlink_to("real")
    with staged_folder(tmp_path / "m") as folder:
        (folder / "a").write_text("new")
        (folder / "b").write_text("new")
    assert (tmp_path / "m").is_symlink()
    assert content(tmp_path / "real") == {"a": "new", "b": "new"}


def test_a_mounted_folder_is_written_inside(small_disk: Path | None) -> None:
    """Nothing beside it is on its disk."""
    if small_disk is None:
        pytest.skip("needs the right to mount")
    (small_disk / "a").write_text("old")
    with staged_folder(small_disk) as folder:
        assert folder.parent == small_disk
        (folder / "a").write_text("new")
        (folder / "b").write_text("new")
    assert content(small_disk) == {"a": "new", "b": "new"}
    assert [path.name for path in small_disk.parent.iterdir()] == ["disk"]


def test_a_folder_without_a_journal_is_only_looked_at(tmp_path: Path) -> None:
    before = tmp_path.stat()
    complete(tmp_path)
    assert tmp_path.stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o077])
def test_modes_follow_the_umask(umask: int, tmp_path: Path) -> None:
    """safetensors makes files of mode 0600, SQLite of 0644."""
    import sqlite3

    import torch
    from safetensors.torch import save_file

    before = os.umask(umask)
    try:
        with staged_folder(tmp_path / "m") as folder:
            (folder / "sub").mkdir(mode=0o700)
            save_file({"a": torch.zeros(1)}, folder / "sub" / "weights")
            with sqlite3.connect(folder / "rows") as rows:
                rows.execute("create table t (a)")
        with staged_file(tmp_path / "file") as folder:
            save_file({"a": torch.zeros(1)}, folder / "file")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    file, folder_mode = 0o666 & ~umask, 0o777 & ~umask
    assert modes == {"m": folder_mode, "sub": folder_mode, "weights": file, "rows": file, "file": file}


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
    with pytest.raises(SimCSEKitError, match=r"b\.json is not valid JSON"):
        read_json(tmp_path / "b.json")
    with pytest.raises(ModelError, match=r"c\.json is missing"):
        read_json(tmp_path / "c.json", ModelError)


def test_places(tmp_path: Path) -> None:
    assert existing_parent(tmp_path / "a" / "b") == tmp_path
    assert free_bytes(tmp_path / "a" / "b") > 0
