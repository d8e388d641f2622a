"""A model that cannot be reached: one sentence with what was looked for and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError

from simcse_kit.encoder.hub import resolve
from simcse_kit.errors import ModelError
from support.commands import run

ADVICE = "Cannot find the files. To enable downloads, set 'HF_HUB_OFFLINE=0' in your environment.\n\nMore."


@pytest.mark.parametrize(
    ("error", "offline", "local", "message"),
    [
        (LocalEntryNotFoundError(ADVICE), True, False, "HF_HUB_OFFLINE forbids downloads: give a local folder, or"),
        (LocalEntryNotFoundError(ADVICE), False, True, "local_files_only forbids downloads: give a local folder, or"),
        (
            RepositoryNotFoundError(
                "401 Client Error.", response=httpx.Response(401, request=httpx.Request("GET", "https://x"))
            ),
            False,
            False,
            "a model that you can read on https://huggingface.co: check the name",
        ),
        (ConnectionError("No route to host."), False, False, r"failed \(No route to host\): check the network"),
    ],
)
def test_the_error_is_one_sentence(
    error: Exception, offline: bool, local: bool, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Path:
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", offline)
    with pytest.raises(ModelError, match=f"^'owner/away' is neither a local folder nor .*{message}") as caught:
        resolve("owner/away", local_files_only=local)
    said = str(caught.value)
    assert ". " not in said
    assert not said.endswith(".")
    assert "HF_HUB_OFFLINE=0" not in said


def test_the_commands_print_it_once(tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("a cat\na dog\n" * 9, encoding="utf-8")
    (tmp_path / "pairs.tsv").write_text("sentence1\tsentence2\tscore\na\tb\t1\nc\td\t2\n", encoding="utf-8")
    train = "train unsup texts.txt --model owner/away --output-dir m --batch-size 8 --device cpu"
    for job in (train, "eval owner/away --suite pairs --data pairs.tsv"):
        done = run(*job.split(), cwd=tmp_path)
        assert done.returncode == 1
        assert " ".join(done.stderr.split()).endswith(
            "error: 'owner/away' is neither a local folder nor a complete model in the hub's cache, and HF_HUB_OFFLINE "
            "forbids downloads: give a local folder, or download the model once with a network"
        )
