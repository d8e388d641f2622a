"""Results cached in a folder, by the content of model, data and settings."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections import namedtuple
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from simcse_kit.encoding.embedders import Embedder
from simcse_kit.evaluation import Outcome, Suite, SuiteResult
from simcse_kit.evaluation.suite import name_of
from simcse_kit.files import make_folder, read_json, staged_file
from simcse_kit.types import ScoredPairs

_ROWS = "simcse_kit.evaluation."  # modules whose row types are restored; other rows become named tuples without methods


class KeptResult(NamedTuple):
    """One suite on one model."""

    result: SuiteResult
    sentences_per_second: float  # nan if it was not timed


class KeptResults:
    """A folder of results.

    An entry's name is a hash over the model's fingerprint, the embedder's options, the suite with its settings, the
    bytes of the data, and the version of this package. A model without a fingerprint (a function, an endpoint) is
    measured every time.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def key(
        self, model: Embedder, options: Mapping[str, Any], suite: Suite, data: str | Path | ScoredPairs
    ) -> Path | None:
        """The file of an entry; None if the model has no fingerprint."""
        if model.fingerprint is None:
            return None
        what = [
            version("simcse-kit"),
            model.fingerprint(),
            model.pooling,
            sorted((name, str(value)) for name, value in options.items() if value is not None),
            [name_of(suite), asdict(suite)],
            content_hash(data),
        ]
        return self.folder / f"{short_hash(what)}.json"

    def get(self, entry: Path) -> KeptResult | None:
        """The cached result; None if there is none."""
        if not entry.is_file():
            return None
        found = read_json(entry)
        outcomes = [
            Outcome(
                one["score"],
                one["statistic"],
                np.array(one["values"], dtype=np.float64),
                None if one["gold"] is None else np.array(one["gold"], dtype=np.float64),
                tuple(one["texts"]),
            )
            for one in found["outcomes"]
        ]
        details = [_row(one["type"], one["values"]) for one in found["details"]]
        result = SuiteResult(**found["result"] | {"outcomes": tuple(outcomes), "details": tuple(details)})
        return KeptResult(result, found["sentences_per_second"])

    def put(self, entry: Path, kept: KeptResult) -> None:
        """Store a result."""
        result = kept.result
        make_folder(self.folder)
        plain = {
            name: getattr(result, name) for name in ("suite", "seconds", "sentences", "data", "alignment", "uniformity")
        }
        whole = {
            "result": plain | {"scores": dict(result.scores), "notes": list(result.notes)},
            "outcomes": [
                one._asdict()
                | {"values": one.values.tolist(), "gold": None if one.gold is None else one.gold.tolist()}
                | {"texts": [list(column) for column in one.texts]}
                for one in result.outcomes
            ],
            "details": [
                {"type": f"{type(row).__module__}:{type(row).__qualname__}", "values": row._asdict()}
                for row in result.details
            ],
            "sentences_per_second": kept.sentences_per_second,
        }
        with staged_file(entry) as staging:  # atomic
            (staging / entry.name).write_text(json.dumps(whole, ensure_ascii=False), encoding="utf-8")


def content_hash(data: str | Path | ScoredPairs) -> str:
    """A hash over the bytes of a file, or of all files of a folder with their names.

    For a name that is not a path, the hash of the name. For scored pairs, the hash of texts and gold scores.
    """
    if isinstance(data, ScoredPairs):
        return short_hash([list(data.first), list(data.second), data.gold.tolist()])
    path = Path(data)
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    if path.is_dir():
        files = sorted(one for one in path.rglob("*") if one.is_file())
        return short_hash([[str(one.relative_to(path)), content_hash(one)] for one in files])
    return short_hash(str(data))


def short_hash(value: Any) -> str:
    """32 hex digits of the sha256 of a value as JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]


def _row(name: str, values: Mapping[str, Any]) -> Any:
    """A row of a suite's detailed table, in the suite's own type."""
    module, _, kind = name.partition(":")
    if module.startswith(_ROWS):
        return getattr(importlib.import_module(module), kind)(**values)
    return namedtuple(kind.rpartition(".")[2], values.keys())(**values)
