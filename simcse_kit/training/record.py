"""``run.json``: everything that a run's result depends on, and whether a resumed run is still the same one."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from simcse_kit.data import TextData
from simcse_kit.errors import TrainingError
from simcse_kit.files import read_json, staged_folder, write_json
from simcse_kit.training.config import TrainConfig
from simcse_kit.types import ScoredPairs

RUN_RECORD = "run.json"
_FREE_TO_CHANGE = {"device", "report_to"}  # between a run and its resumption
_OUTSIDE = ("mode", "model", "recipe", "train_head")  # settings that stand for themselves in a model's record
_PACKAGES = ("torch", "transformers", "accelerate", "tokenizers", "numpy", "simcse-kit")


def run_record(config: TrainConfig, data: TextData, pairs: ScoredPairs | None) -> dict[str, Any]:
    """What ``run.json`` says."""
    return {
        "arguments": asdict(config),
        "data": {"source": data.source, "rows": len(data), "columns": data.width, "sha256": data.fingerprint()},
        "eval_data": None if pairs is None else _eval_record(pairs),
        "versions": {name: version(name) for name in _PACKAGES} | {"python": platform.python_version()},
        "machine": {"processor": platform.processor() or platform.machine(), "threads": torch.get_num_threads()},
    }


def model_record(record: dict[str, Any]) -> dict[str, Any]:
    """What a run's models say of it in their ``simcse_kit.json``."""
    arguments = record["arguments"]
    return {
        "objective": "simcse",
        **{name: arguments[name] for name in _OUTSIDE},
        "training": {name: value for name, value in arguments.items() if name not in _OUTSIDE},
        "data": record["data"],
        "versions": record["versions"],
    }


def write_record(output_dir: Path, record: dict[str, Any]) -> None:
    """Make the run's folder with its record, both or neither."""
    with staged_folder(output_dir) as staging:
        write_json(staging / RUN_RECORD, record)


def check_same_run(output_dir: Path, record: dict[str, Any]) -> None:
    """A resumed run has the settings and the data of the run it goes on with."""
    path = output_dir / RUN_RECORD
    if not path.is_file():
        return
    before = read_json(path)
    for key, value in record["arguments"].items():
        was = before["arguments"].get(key)
        if key not in _FREE_TO_CHANGE and was != value:
            raise TrainingError(f"--resume: {key} was {was!r} in the run that {output_dir} holds, now it is {value!r}")
    for key in ("data", "eval_data"):
        was, now = before.get(key) or {}, record[key] or {}
        if was.get("sha256") != now.get("sha256"):
            raise TrainingError(
                f"--resume: {key} has changed since the run in {output_dir} began: {_described(was)} then, "
                f"{_described(now)} now"
            )


def _eval_record(pairs: ScoredPairs) -> dict[str, Any]:
    digest = hashlib.sha256()
    for text in (*pairs.first, *pairs.second):
        content = text.encode()
        digest.update(b"%d:%b" % (len(content), content))  # the length keeps sentences apart
    digest.update(pairs.gold.tobytes())
    return {"source": pairs.source, "rows": len(pairs.gold), "sha256": digest.hexdigest()}


def _described(data: dict[str, Any]) -> str:
    return f"{data['rows']} rows of {data['source']}" if data else "none"
