"""``run.json``: everything that determines a run's result, and checks that a resumed run is the same run."""

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
from simcse_kit.training.teacher_names import teacher_name
from simcse_kit.types import ScoredPairs
from simcse_kit.wording import counted

METRICS = "metrics.jsonl"
_LIFE = ("versions", "machine", "device", "commit")  # settings that may change when a run is resumed
_FREE_TO_CHANGE = {"device", "report_to"}  # entries that may change when a run is resumed
_OUTSIDE = (
    "mode",
    "model",
    "recipe",
    "objective",
    "train_head",
)  # settings of a model's record that need no other setting
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
    """Content of ``run.json``. ``data`` is the whole file; ``labels``: classes of the training texts; ``given``: how to
    read the file; ``start``: fingerprint of the start model; ``teachers``: those of the teachers by name;
    ``precision``: of the products; ``device``: its type.
    """
    arguments = json.loads(json.dumps(config.flat()))  # as JSON returns it: tuples become lists
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
    """The record of a run in its models' ``simcse_kit.json``. Leaves out settings that have no effect because another
    one is not set.
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
    """Lines of a run's ``metrics.jsonl``, without a last line that a kill truncated."""
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
    """Make the run's folder with its record, atomically."""
    with staged_folder(output_dir) as staging:
        write_json(staging / RUN_RECORD, record)


def run_of(output_dir: Path) -> dict[str, Any] | None:
    """The record of the run in a folder; None if there is no run."""
    path = output_dir / RUN_RECORD
    return read_json(path, TrainingError) if path.is_file() else None


def check_same_run(output_dir: Path, record: dict[str, Any]) -> None:
    """Check that a resumed run has the same settings, data and number of processes."""
    before = run_of(output_dir)
    if before is not None:
        with as_written(output_dir / RUN_RECORD, TrainingError):
            _check_same(before, output_dir, record)


def _check_same(before: dict[str, Any], output_dir: Path, record: dict[str, Any]) -> None:
    changed = f"--resume: {{}} has changed since the run in {output_dir} started"
    check_same_data(before, record, changed)  # checked first, because settings adapted to the rows change with them
    settings = {field.name: field for field in COMMON}
    defaults = {field.name: field.default for field in (*COMMON, *part_settings().values())}
    for key, value in record["arguments"].items():
        # A setting that an older version did not have is compared as if it had its default.
        was = before["arguments"].get(key, json.loads(json.dumps(defaults.get(key), default=str)))
        was = own_name(settings[key], was) if key in settings else was
        if key not in _FREE_TO_CHANGE and was != value:
            raise TrainingError(f"--resume: {key} was {was!r} in the run in {output_dir} and is now {value!r}")
    if before.get("processes", 1) != record["processes"]:
        raise TrainingError(
            f"--resume: the run in {output_dir} had {before.get('processes', 1)} processes and now has "
            f"{record['processes']}, which would change the batches"
        )
    _check_models(before, record, changed)


def check_repeats(before: dict[str, Any], record: dict[str, Any]) -> None:
    """Check that everything that a run needs to be repeated is unchanged."""
    check_same_data(before, record, "--repeat: {} has changed since the run")
    _check_models(before, record, "--repeat: {} has changed since the run")
    if before["processes"] != record["processes"]:
        raise TrainingError(
            f"--repeat: the run had {before['processes']} processes and now has {record['processes']}: start "
            "the same number with torchrun"
        )


def _check_models(before: dict[str, Any], now: dict[str, Any], message: str) -> None:
    """Check that start model and teachers are those of a record."""
    if before["model"]["fingerprint"] != now["model"]["fingerprint"]:
        raise TrainingError(message.format(f"the start model {now['arguments']['model']}"))
    marks = [[teacher["fingerprint"] for teacher in record["teachers"].values()] for record in (before, now)]
    for name, was, found in zip(now["teachers"], *marks, strict=False):
        if was != found:
            raise TrainingError(message.format(f"the teacher {name}"))


def resumed_record(output_dir: Path, record: dict[str, Any], *, step: int) -> dict[str, Any]:
    """The record of a run that resumes after a step. Adds another machine or other versions, with a notice."""
    before = run_of(output_dir)
    if before is None:
        return record
    kept = record | {name: before[name] for name in (*_LIFE, "resumed") if name in before}
    lives = [before, *before.get("resumed", [])]
    other = differences(lives[-1], record)
    if not other:
        return kept
    say_once(
        f"--resume: the environment has changed since step {step}: {'; '.join(other)}. The result will not be "
        "bit-identical to that of an uninterrupted run"
    )
    life = {"after_step": step} | {name: record[name] for name in _LIFE}
    return kept | {"resumed": [*before.get("resumed", []), life]}


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Differences of versions, machine and device between two records, in words; they change the bits of a result."""
    found = []
    for name in ("versions", "machine", "device"):
        if name not in before:  # records of older versions lack it
            continue
        was, is_now = (record.get(name) or {} for record in (before, now))
        was, is_now = (part if isinstance(part, dict) else {name: part} for part in (was, is_now))
        for key in sorted({*was, *is_now}):
            if was.get(key) != is_now.get(key):
                found.append(f"{key} {was.get(key, 'none')} before, {is_now.get(key, 'none')} now")
    return found


def machine() -> dict[str, Any]:
    """What determines a result's bits, besides versions."""
    import torch

    accelerator = {"accelerator": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
    return {"processor": processor_name(), "threads": torch.get_num_threads()} | accelerator


def processor_name() -> str:
    """Name of the CPU, if the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that affect a result."""
    found = {name: version for name in _PACKAGES if (version := _version(name))}
    return found | {"python": platform.python_version()}


def check_same_data(before: dict[str, Any], now: dict[str, Any], message: str) -> None:
    """Check that data and evaluation data are those of a record. ``message`` has a placeholder for the changed one."""
    for key in ("data", "eval_data"):
        was, found = before.get(key) or {}, now[key] or {}
        if was.get("sha256") != found.get("sha256"):
            raise TrainingError(f"{message.format(key)}: {_described(was)} before, {_described(found)} now")


def _folder(model: str) -> str | None:
    """Path of a start model that was given as a folder."""
    path = Path(model).expanduser()
    return str(path.absolute()) if path.is_dir() else None


def _source(name: str) -> dict[str, Any]:
    """The user's name for it, and its path."""
    path = Path(name).expanduser()
    return {"source": name} | ({"path": str(path.absolute())} if path.exists() else {})


def eval_record(pairs: ScoredPairs) -> dict[str, Any]:
    digest = hashlib.sha256()
    for text in (*pairs.first, *pairs.second):
        content = text.encode()
        digest.update(b"%d:%b" % (len(content), content))  # the length separates sentences
    digest.update(pairs.gold.tobytes())
    return _source(pairs.source) | {"rows": len(pairs.gold), "sha256": digest.hexdigest()}


def _described(data: dict[str, Any]) -> str:
    return f"{counted(data['rows'], 'row')} of {data['source']}" if data else "none"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The git commit of this package if it runs from a checkout, with a mark if files differ; else None."""
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
