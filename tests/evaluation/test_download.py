"""Downloading the sets, atomically."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import huggingface_hub
import pytest

from simcse_kit.errors import DataError
from simcse_kit.evaluation import download, download_sts, load_sts

WRITTEN = {"STS12": 15, "STS13": 9, "STS14": 18, "STS15": 15, "STS16": 15, "STSBenchmark": 3, "SICKRelatedness": 3}


@pytest.fixture
def hub(senteval: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive of the tiny folder in place of the hub's."""
    path = tmp_path / "senteval.tar"
    with tarfile.open(path, "w") as archive:
        for name in ("STS", "SICK"):
            archive.add(senteval / name, arcname=f"./{name}")
        for name in ("MR/rt-polarity.pos", "../STS/escaped.txt", "/SICK/absolute.txt"):
            member = tarfile.TarInfo(name)
            member.size = 1
            archive.addfile(member, io.BytesIO(b"x"))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **__: str(path))
    monkeypatch.setattr(download, "PAIRS", WRITTEN)
    return path


def test_the_archive_becomes_a_folder_that_loads(hub: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    assert download_sts(folder) == folder / "senteval"
    assert len(load_sts(folder)) == 7
    assert sorted(path.name for path in (folder / "senteval").iterdir()) == ["SICK", "STS"]  # no transfer tasks
    assert not list(tmp_path.rglob("escaped.txt"))
    assert [path.name for path in folder.iterdir()] == ["senteval"]  # nothing half-done is left


def test_data_that_is_there_is_not_fetched_again(
    hub: Path, senteval: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data"
    download_sts(folder)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_, **__: pytest.fail("fetched"))
    assert download_sts(folder) == folder / "senteval"
    assert download_sts(senteval) == senteval
    (folder / "senteval" / "SICK" / "SICK_test_annotated.txt").unlink()
    with pytest.raises(DataError, match=r"SICK_test_annotated\.txt is missing"):
        download_sts(folder)


def test_a_wrong_number_of_pairs_leaves_nothing(hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PAIRS", WRITTEN | {"STS16": 1186})
    folder = tmp_path / "data"
    with pytest.raises(DataError, match=r"STS16 in .* has 15 scored pairs instead of 1186"):
        download_sts(folder)
    assert list(folder.iterdir()) == []


def test_a_broken_archive_is_named(hub: Path, tmp_path: Path) -> None:
    hub.write_bytes(b"<html>not a tar</html>")
    with pytest.raises(DataError, match=r"senteval\.tar is not a complete tar archive"):
        download_sts(tmp_path / "data")


def test_a_hub_out_of_reach_names_the_data_set(tmp_path: Path) -> None:
    code = "import sys; from simcse_kit.evaluation import download_sts; download_sts(sys.argv[1])"
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "data")], capture_output=True, text=True, env=environment
    )
    assert "DataError: cannot download senteval.tar of data set princeton-nlp/datasets-for-simcse" in done.stderr
    assert not (tmp_path / "data").exists()
