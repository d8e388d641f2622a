"""What a server serves: indexes by address, models by folder or hub name."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from simcse_kit.encoder.hub import check_model_name
from simcse_kit.errors import ModelError
from simcse_kit.index.sentence_index import SentenceIndex
from simcse_kit.model import SimCSE
from simcse_kit.search import open_collection
from simcse_kit.search.address import Address, index_address, masked
from simcse_kit.search.store import MANIFEST, index_below
from simcse_kit.serving.engines import target_name
from simcse_kit.serving.settings import ServeError


def open_targets(
    targets: str | Sequence[str],
    *,
    indexes: Mapping[str, SentenceIndex] | None = None,
    models: Mapping[str, SimCSE] | None = None,
    device: str | None = None,
    backend: str = "torch",
    dtype: str = "float32",
    trust_remote_code: bool = False,
    local_files_only: bool = False,
    store: str | None = None,
    uri: str | None = None,
    token: str | None = None,
) -> tuple[dict[str, SentenceIndex], dict[str, SimCSE]]:
    """Open indexes by address and load models by folder or hub name, each also as ``NAME=TARGET``; returned by name.

    An address is a folder or a collection of Milvus, see `SentenceIndex.build`. ``indexes`` and ``models`` are already
    open and come first. An index uses a loaded model if it is the index's own. ``device``, ``backend``, ``dtype`` and
    ``local_files_only`` are those of `SimCSE`, for every model loaded here; ``trust_remote_code`` is that of
    `SentenceIndex.open`. With the deprecated ``store="milvus"``, every target is the name of a collection.

    Raises:
        ServeError: two targets have the same name, or a folder is neither an index nor a model.
        SearchIndexError, ModelError: a target cannot be opened.
    """
    how = {
        "device": device,
        "backend": backend,
        "dtype": dtype,
        "trust_remote_code": trust_remote_code,
        "local_files_only": local_files_only,
    }
    found, loaded = dict(indexes or {}), dict(models or {})
    addresses: dict[str, Address] = {}
    paths: dict[str, str] = {}  # of models
    for target in [targets] if isinstance(targets, str) else targets:
        given, equals, path = target.partition("=")
        name, path = (given, path) if equals else (target_name(target), target)
        if any(name in taken for taken in (found, loaded, addresses, paths)):
            raise ServeError(f"two targets are called {name!r}; rename one: {name}-2={masked(path)}")
        address = index_address(path, store, uri, token)
        if address.uri is not None or (Path(path) / MANIFEST).is_file():
            addresses[name] = address
        else:
            _check_model(path)
            paths[name] = path
    opened: dict[str, SimCSE] = {}  # by path: one that has two names is loaded once
    for name, path in paths.items():
        place = os.path.realpath(path) if Path(path).is_dir() else path
        opened[place] = loaded[name] = opened.get(place) or SimCSE(path, **how)  # type: ignore[arg-type]
    for name, address in addresses.items():  # then indexes, which use loaded models
        found[name] = _open_index(address, [*loaded.values(), *(index.model for index in found.values())], how)
    return found, loaded


def _check_model(path: str) -> None:
    try:
        check_model_name(path)
    except ModelError as error:
        if not Path(path).is_dir() or error.__cause__ is not None:
            raise
        below = index_below(Path(path))
        raise ServeError(
            f"{path} is neither an index (no {MANIFEST}) nor a model (no config.json)"
            + ("" if below is None else f"; did you mean {below}?")
        ) from error


def _open_index(address: Address, loaded: Sequence[SimCSE], how: dict[str, Any]) -> SentenceIndex:
    wanted = open_collection(address, trust_remote_code=how["trust_remote_code"]).model.get("fingerprint")
    model = next((model for model in loaded if model.fingerprint() == wanted), None)
    return SentenceIndex.open(address, model, **how)
