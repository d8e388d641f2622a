"""From a user's name for a model to a local folder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from simcse_kit.encoder.known import KNOWN_POOLINGS, packaged_model
from simcse_kit.errors import ModelError
from simcse_kit.files import complete

_SENTENCE_TRANSFORMERS = "sentence-transformers"
_SMALL = ["*.json", "*.txt", "*.model", "*.jinja", "*.safetensors", "*_*/pytorch_model.bin"]
# a backbone's *.bin only if it has no other weights
_NOT_OURS = ["onnx/*", "openvino/*", "*.onnx", "*.h5", "*.msgpack", "*.ot"]


class ModelSource(NamedTuple):
    """A model as named by the user, and the folder of its files."""

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
    """The folder for a path or a hub name; downloads through huggingface_hub's cache if it is not on disk.

    ``owner``: a name without an owner may also mean this owner's models.
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
    """Raise a `ModelError` for a name that is neither a model folder nor a hub name; does not access the hub."""
    name = str(name_or_path)
    path = Path(name).expanduser()
    if path.is_dir():
        _complete(path)
        if not any((path / file).is_file() for file in ("config.json", "modules.json", "adapter_config.json")):
            raise ModelError(f"{name} is a folder but not a model: it has neither config.json nor modules.json")
    elif path.is_file():
        raise ModelError(f"{name} is a file; a model is a folder or a hub name")
    elif not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) or name.startswith("."):
        raise ModelError(f"{name} is neither an existing folder nor a hub name (owner/name)")


def _complete(folder: Path) -> None:
    """Finish replacing a model whose writer was killed: move its new files into place."""
    try:
        complete(folder)
    except OSError as error:
        raise ModelError(
            f"{folder}: a process ended while saving a model there, and the rest cannot be completed: {error}. "
            "Load it once as a user with write permission"
        ) from error


def _candidates(name: str, owner: str) -> list[str]:
    """Hub names that a name may mean; without an owner, also this ``owner``'s models."""
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
        except Exception as caught:  # the hub's client raises its own errors, those of requests and OSError
            error = error or caught
    if folder is None:
        assert error is not None
        raise ModelError(_unreachable(name, error, local_files_only)) from error
    if not any((folder / file).is_file() for file in ("config.json", "modules.json", "adapter_config.json")):
        raise ModelError(f"the copy of {name!r} in the hub's cache is incomplete: config.json is missing")
    return folder


def _unreachable(name: str, error: Exception, local_files_only: bool) -> str:
    """What was looked for, and what to do."""
    from huggingface_hub import constants
    from huggingface_hub.errors import RepositoryNotFoundError

    if local_files_only or constants.HF_HUB_OFFLINE:
        why = "local_files_only" if local_files_only else "HF_HUB_OFFLINE"
        return (
            f"{name!r} is neither a local folder nor a complete model in the hub's cache, and {why} forbids "
            "downloads: give a local folder, or download the model once with a network"
        )
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"{name!r} is neither a local folder nor a model that you can read on https://huggingface.co: check the "
            "name, or log in if the model is private"
        )
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(". ")
    return (
        f"{name!r} is neither a local folder nor in the hub's cache, and downloading it from https://huggingface.co "
        f"failed ({reason}): check the network, or give a local folder"
    )
