"""From the name that a user gives to a local folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from simcse_kit.encoder.known import KNOWN_POOLINGS, packaged_model
from simcse_kit.errors import ModelError
from simcse_kit.files import complete

_SENTENCE_TRANSFORMERS = "sentence-transformers"
_SMALL = ["*.json", "*.txt", "*.model", "*.jinja", "*.safetensors", "*_*/pytorch_model.bin"]
# a backbone's *.bin only where it has nothing else
_NOT_OURS = ["onnx/*", "openvino/*", "*.onnx", "*.h5", "*.msgpack", "*.ot"]


class ModelSource(NamedTuple):
    """A model as the user named it, and where its files lie."""

    name: str
    folder: Path
    known_pooling: str | None  # from the table of the original project's checkpoints


def resolve(
    name_or_path: str | Path,
    *,
    revision: str | None = None,
    local_files_only: bool = False,
    trust_remote_code: bool = False,
    owner: str = _SENTENCE_TRANSFORMERS,
) -> ModelSource:
    """A folder for a path or a hub name; fetched through huggingface_hub's cache where it is not on disk.

    ``owner``: whose models a name without an owner may mean too.
    """
    name = str(name_or_path)
    path = Path(name).expanduser()
    check_model_name(name)
    if path.is_dir():
        return ModelSource(name, path, None)
    packaged = packaged_model(name) if revision is None else None
    if packaged is not None:
        return ModelSource(name, packaged, None)
    folder = _download(name, revision, local_files_only, trust_remote_code, owner)
    return ModelSource(name, folder, KNOWN_POOLINGS.get(name))


def check_model_name(name_or_path: str | Path) -> None:
    """A `ModelError` for what is neither a model's folder nor a hub name; the hub is not asked."""
    name = str(name_or_path)
    path = Path(name).expanduser()
    if path.is_dir():
        _complete(path)
        if not any((path / file).is_file() for file in ("config.json", "modules.json", "adapter_config.json")):
            raise ModelError(f"{name} is a folder but not a model: it holds neither config.json nor modules.json")
    elif path.is_file():
        raise ModelError(f"{name} is a file; a model is a folder or a hub name")
    elif not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or name.startswith("."):
        raise ModelError(f"no folder {name}, and it is not a hub name (owner/name) either")


def _complete(folder: Path) -> None:
    """Where a model was being replaced when its writer was killed, its new files come into their places."""
    try:
        complete(folder)
    except OSError as error:
        raise ModelError(
            f"{folder}: a model was being saved there when its process ended, and the rest cannot be done now: "
            f"{error}. Load it once as a user who may write there"
        ) from error


def _candidates(name: str, owner: str) -> list[str]:
    """The hub names that a name may stand for: without an owner, this ``owner``'s models are meant too."""
    return [name] if "/" in name else [name, f"{owner}/{name}"]


def _download(name: str, revision: str | None, local_files_only: bool, trust_remote_code: bool, owner: str) -> Path:
    from huggingface_hub import snapshot_download

    def snapshot(repository: str, patterns: list[str]) -> Path:
        return Path(
            snapshot_download(
                repository,
                revision=revision,
                local_files_only=local_files_only,
                allow_patterns=patterns,
                ignore_patterns=_NOT_OURS,
            )
        )

    patterns = [*_SMALL, "*.py"] if trust_remote_code else _SMALL
    folder: Path | None = None
    error: Exception | None = None
    for repository in _candidates(name, owner):
        try:
            folder = snapshot(repository, patterns)
            if not any(path.parent.name[:1] not in "123456789" for path in folder.rglob("*.safetensors")):
                folder = snapshot(repository, [*patterns, "*.bin"])
            break
        except Exception as caught:  # the hub's client raises a family of its own, requests' and OSError
            error = error or caught
    if folder is None:
        assert error is not None
        hint = " and no folder of that name here" if "/" not in name or not Path(name).parent.is_dir() else ""
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"cannot get {name!r} from the hub{hint}: {reason}. Give a local folder, or a name from "
            "https://huggingface.co/models; without a network, the copy in the hub's cache is used if it is whole"
        ) from error
    if not any((folder / file).is_file() for file in ("config.json", "modules.json", "adapter_config.json")):
        raise ModelError(f"the copy of {name!r} in the hub's cache is not whole: it lacks config.json")
    return folder
