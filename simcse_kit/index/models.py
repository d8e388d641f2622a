"""The model of an index: what the index records about it, and loading it again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simcse_kit.encoder.pooling import recorded_pooling
from simcse_kit.errors import ModelError, SearchIndexError
from simcse_kit.model import SimCSE


def about_model(model: SimCSE) -> dict[str, Any]:
    """Record of an index's model: enough to load it again, and to detect another one."""
    folder = Path(model.name)
    return {
        "name": str(folder.absolute()) if folder.is_dir() else model.name,
        "pooling": model.pooling,
        "max_seq_length": model.max_seq_length,
        "fingerprint": model.fingerprint(),
    }


def fingerprint_of(model: SimCSE, made_with: dict[str, Any]) -> str:
    """A model's fingerprint, which must be that of its index.

    Raises:
        SearchIndexError: the model has been trained, or its length or prompts changed, since it made the index.
    """
    fingerprint = model.fingerprint()
    if fingerprint != made_with["fingerprint"]:
        raise SearchIndexError(
            f"the model {model.name} has changed (weights, length or prompts) since this index was built with "
            "it; build the index again"
        )
    return fingerprint


def model_on_disk(made_with: dict[str, Any], index: str, models: Sequence[SimCSE]) -> SimCSE:
    """The one of ``models`` that `about_model` describes; else load that one from the disk, with the first one's
    settings.

    Downloads nothing, and runs no code of the model; errors as in `model_of`.
    """
    for model in models:
        if model.fingerprint() == made_with.get("fingerprint"):
            return model
    first = models[0]
    how: dict[str, Any] = {"device": first.device, "backend": first.backend.name, "dtype": first.backend.dtype}
    return model_of(made_with, index, None, local_files_only=True, **how)


def model_of(
    made_with: dict[str, Any],
    index: str,
    model: SimCSE | str | Path | None,
    *,
    trust_remote_code: bool = False,
    **how: Any,
) -> SimCSE:
    """The model recorded by `about_model`: ``model``, else the one that it names, loaded as in ``how``.

    ``index``: address of the index, for errors.

    Raises:
        SearchIndexError: the model cannot be loaded, or is not the index's.
    """
    if not isinstance(model, SimCSE):
        name = made_with["name"] if model is None else model
        try:
            model = SimCSE(
                name,
                pooling=recorded_pooling(made_with["pooling"], trust_remote_code=trust_remote_code),
                max_seq_length=made_with["max_seq_length"],
                trust_remote_code=trust_remote_code,
                **how,
            )
        except ModelError as error:
            hint = "; if it has moved, name its new path (--model)" if model is None else ""
            raise SearchIndexError(f"{index}: cannot load its model {name}: {error}{hint}") from error
    if model.fingerprint() != made_with["fingerprint"]:
        raise SearchIndexError(
            f"{index} was built with another model: {made_with['name']} (pooling {made_with['pooling']}, at "
            f"most {made_with['max_seq_length']} tokens, fingerprint {made_with['fingerprint'][:12]}); got "
            f"{model.name} (pooling {model.pooling}, {model.max_seq_length} tokens, "
            f"{model.fingerprint()[:12]}). Use that model, or build the index again with this one"
        )
    return model
