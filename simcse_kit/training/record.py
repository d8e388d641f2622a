"""``run.json``: everything that a run's result depends on, and whether a resumed run is still the same one."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcse_kit.data import TextData
from simcse_kit.errors import TrainingError, say_once
from simcse_kit.files import as_written, read_json, staged_folder, write_json
from simcse_kit.parts import own_name
from simcse_kit.training.config import COMMON, TrainConfig, needs, part_settings
from simcse_kit.training.output import RUN_RECORD
from simcse_kit.training.teachers import teacher_name
from simcse_kit.types import ScoredPairs

METRICS = "metrics.jsonl"
_LIFE = ("versions", "machine", "device", "commit")  # what may change when a run is resumed
_FREE_TO_CHANGE = {"device", "report_to"}  # between a run and its resumption
_OUTSIDE = (
    "mode",
    "model",
    "recipe",
    "objective",
    "train_head",
)  # settings that stand for themselves in a model's record
_READING = (
    "columns",
    "label_column",
    "text_column",
    "positives_only",
    "header",
    "skip_bad_rows",
    "trust_remote_code",
)  # how data and models were read
_PACKAGES = ("torch", "transformers", "accelerate", "peft", "tokenizers", "numpy", "simcse-kit")


def run_record(
    config: TrainConfig,
    data: TextData,
    pairs: ScoredPairs | None,
    *,
    labels: NDArray[np.int64] | None,
    given: Mapping[str, Any],
    start: str,
    teachers: Mapping[str, str],
    ranks: int,
    precision: str,
    device: str,
) -> dict[str, Any]:
    """What ``run.json`` says; ``data`` is the whole file, ``labels`` are the classes of what is trained on,
    ``given`` how it was to be read, ``start`` the fingerprint of
    the model to start from, ``teachers`` those of the teachers by name, ``precision`` what is multiplied in, ``device``
    its kind.
    """
    arguments = json.loads(json.dumps(config.flat()))  # as it will be read back: tuples are lists there
    reading = {name: given[name] for name in _READING if given.get(name) is not None}
    classes = {} if labels is None else {"classes": int(labels.max()) + 1}
    return {
        "arguments": arguments,
        "data": _source(data.source)
        | {"rows": len(data), "columns": data.width, "sha256": data.fingerprint(), "reading": reading}
        | classes,
        "eval_data": None if pairs is None else eval_record(pairs),
        "model": {"path": _folder(config.model), "fingerprint": start},
        "teachers": {
            name: {"path": _folder(teacher_name(name)), "fingerprint": mark} for name, mark in teachers.items()
        },
        "processes": ranks,
        "precision": precision,
        "device": device,
        "versions": versions(),
        "commit": _commit(),
        "machine": machine(),
    }


def model_record(record: dict[str, Any]) -> dict[str, Any]:
    """What a run's models say of it in their ``simcse_kit.json``; settings that say nothing without another, which is
    not set, are left out.
    """
    arguments, needed = record["arguments"], needs()
    return {
        **{name: arguments[name] for name in _OUTSIDE},
        "training": {
            name: value
            for name, value in arguments.items()
            if name not in _OUTSIDE and (name not in needed or arguments.get(needed[name]))
        },
        "data": {name: value for name, value in record["data"].items() if name != "path"},
        "versions": record["versions"],
    }


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """The lines of a run's ``metrics.jsonl``, without one that a kill cut off."""
    if not (run / METRICS).is_file():
        return []
    lines = []
    for text in (run / METRICS).read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            break
    return lines


def write_record(output_dir: Path, record: dict[str, Any]) -> None:
    """Make the run's folder with its record, both or neither."""
    with staged_folder(output_dir) as staging:
        write_json(staging / RUN_RECORD, record)


def run_of(output_dir: Path) -> dict[str, Any] | None:
    """The record of the run that a folder holds; None where it holds none."""
    path = output_dir / RUN_RECORD
    return read_json(path, TrainingError) if path.is_file() else None


def check_same_run(output_dir: Path, record: dict[str, Any]) -> None:
    """A resumed run has the settings, the data and the number of processes of the run it goes on with."""
    before = run_of(output_dir)
    if before is not None:
        with as_written(output_dir / RUN_RECORD, TrainingError):
            _check_same(before, output_dir, record)


def _check_same(before: dict[str, Any], output_dir: Path, record: dict[str, Any]) -> None:
    changed = f"--resume: {{}} has changed since the run in {output_dir} began"
    check_same_data(before, record, changed)  # first: settings that were chosen for the rows differ with them
    settings = {field.name: field for field in COMMON}
    defaults = {field.name: field.default for field in (*COMMON, *part_settings().values())}
    for key, value in record["arguments"].items():
        # A setting that the run's version did not have was what its default does.
        was = before["arguments"].get(key, json.loads(json.dumps(defaults.get(key), default=str)))
        was = own_name(settings[key], was) if key in settings else was
        if key not in _FREE_TO_CHANGE and was != value:
            raise TrainingError(f"--resume: {key} was {was!r} in the run that {output_dir} holds, now it is {value!r}")
    if before.get("processes", 1) != record["processes"]:
        raise TrainingError(
            f"--resume: the run in {output_dir} had {before.get('processes', 1)} processes, now there are "
            f"{record['processes']}: the batches would be others"
        )
    _check_models(before, record, changed)


def check_repeats(before: dict[str, Any], record: dict[str, Any]) -> None:
    """What a run is to repeat is still there as it was."""
    check_same_data(before, record, "--repeat: {} has changed since the run")
    _check_models(before, record, "--repeat: {} has changed since the run")
    if before["processes"] != record["processes"]:
        raise TrainingError(
            f"--repeat: the run had {before['processes']} processes, now there are {record['processes']}: start as "
            "many with torchrun"
        )


def _check_models(before: dict[str, Any], now: dict[str, Any], message: str) -> None:
    """Start model and teachers are those of a record."""
    if before["model"]["fingerprint"] != now["model"]["fingerprint"]:
        raise TrainingError(message.format(f"the start model {now['arguments']['model']}"))
    marks = [[teacher["fingerprint"] for teacher in record["teachers"].values()] for record in (before, now)]
    for name, was, found in zip(now["teachers"], *marks, strict=False):
        if was != found:
            raise TrainingError(message.format(f"the teacher {name}"))


def resumed_record(output_dir: Path, record: dict[str, Any], *, step: int) -> dict[str, Any]:
    """The record of a run that goes on after a step; another machine or other versions are added, and said."""
    before = run_of(output_dir)
    if before is None:
        return record
    kept = record | {name: before[name] for name in (*_LIFE, "resumed") if name in before}
    lives = [before, *before.get("resumed", [])]
    other = differences(lives[-1], record)
    if not other:
        return kept
    say_once(
        f"--resume: not as the run was until step {step}: {'; '.join(other)}. Its end will not be bit-equal to that of "
        "a run that was never stopped"
    )
    life = {"after_step": step} | {name: record[name] for name in _LIFE}
    return kept | {"resumed": [*before.get("resumed", []), life]}


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Of versions, machine and device between two records, in words: on others the same run has other bits."""
    found = []
    for name in ("versions", "machine", "device"):
        if name not in before:  # of a version that did not write it
            continue
        was, is_now = (record.get(name) or {} for record in (before, now))
        was, is_now = (part if isinstance(part, dict) else {name: part} for part in (was, is_now))
        for key in sorted({*was, *is_now}):
            if was.get(key) != is_now.get(key):
                found.append(f"{key} {was.get(key, 'none')} then, {is_now.get(key, 'none')} now")
    return found


def machine() -> dict[str, Any]:
    """What a result's bits depend on beside the versions."""
    import torch

    accelerator = {"accelerator": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    return {"processor": processor_name(), "threads": torch.get_num_threads()} | accelerator


def processor_name() -> str:
    """The CPU's name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Of the packages that a result depends on, and of Python."""
    found = {name: version for name in _PACKAGES if (version := _version(name))}
    return found | {"python": platform.python_version()}


def check_same_data(before: dict[str, Any], now: dict[str, Any], message: str) -> None:
    """Data and evaluation data are those of a record; ``message`` has a place for which of them is not."""
    for key in ("data", "eval_data"):
        was, found = before.get(key) or {}, now[key] or {}
        if was.get("sha256") != found.get("sha256"):
            raise TrainingError(f"{message.format(key)}: {_described(was)} then, {_described(found)} now")


def _folder(model: str) -> str | None:
    """Where a start model lies that was named as a folder."""
    path = Path(model).expanduser()
    return str(path.absolute()) if path.is_dir() else None


def _source(name: str) -> dict[str, Any]:
    """As the user named it, and where it lies."""
    path = Path(name).expanduser()
    return {"source": name} | ({"path": str(path.absolute())} if path.exists() else {})


def eval_record(pairs: ScoredPairs) -> dict[str, Any]:
    digest = hashlib.sha256()
    for text in (*pairs.first, *pairs.second):
        content = text.encode()
        digest.update(b"%d:%b" % (len(content), content))  # the length keeps sentences apart
    digest.update(pairs.gold.tobytes())
    return _source(pairs.source) | {"rows": len(pairs.gold), "sha256": digest.hexdigest()}


def _described(data: dict[str, Any]) -> str:
    return f"{data['rows']} rows of {data['source']}" if data else "none"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The git commit of this package where it runs from a checkout, marked where files differ; else None."""
    here = Path(__file__)
    if _git(here, "ls-files", "--error-unmatch", here.name) is None:
        return None
    return _git(here, "describe", "--always", "--dirty=+changes", "--abbrev=12", "--exclude=*")


def _git(path: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, cwd=path.parent, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
