"""Repeats a run from its ``run.json`` alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from simcse_kit.encoder.pooling import recorded_pooling
from simcse_kit.errors import TrainingError, say_once
from simcse_kit.files import read_json
from simcse_kit.objectives import OBJECTIVES
from simcse_kit.training.config import COMMON, part_settings
from simcse_kit.training.events import TrainListener, TrainResult
from simcse_kit.training.output import RUN_RECORD
from simcse_kit.training.record import differences, machine, versions
from simcse_kit.training.run import run
from simcse_kit.training.teacher_names import teacher_name, teacher_pooling


def repeat_run(
    record: str | Path,
    output_dir: str | Path,
    *,
    device: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
    listener: TrainListener | None = None,
    trust_remote_code: bool = False,
) -> TrainResult:
    """Repeat the run of a ``run.json`` in another folder: same settings, data, seed and start model.

    Products use the precision of the run. With the same versions and number of CPU threads the result is bit-identical;
    other versions give a notice. An objective or pooling from outside this package is imported only with
    ``trust_remote_code``.

    Raises:
        TrainingError: data, evaluation data or the start model have changed since the run, or its sentences were given
            as Python objects.
    """
    path = Path(record)
    if path.is_dir():
        path = path / RUN_RECORD
    before = read_json(path, TrainingError)
    try:
        mode, arguments = before["arguments"]["mode"], before["arguments"]
        objective = OBJECTIVES.get(arguments["objective"], recorded=True, trust_remote_code=trust_remote_code)
        names = {*(field.name for field in COMMON), *part_settings(), *objective.names()}
        settings: dict[str, Any] = {name: arguments.get(name) for name in names}
        settings["objective"] = arguments["objective"]
        for pooling in (arguments.get("pooling"), *map(teacher_pooling, before["teachers"])):
            if pooling is not None:
                recorded_pooling(pooling, trust_remote_code=trust_remote_code)  # an error, or no change
        settings |= before["data"]["reading"]
        settings["model"] = before["model"]["path"] or arguments["model"]
        settings["teacher"] = [_moved(name, teacher["path"]) for name, teacher in before["teachers"].items()]
        source = _where(before, "data", path)
        settings["eval_data"] = _where(before, "eval_data", path) if before["eval_data"] else None
    except (KeyError, TypeError) as error:
        raise TrainingError(f"{path} is not a run.json of this version: unexpected {error!r}") from error
    settings |= {"device": device or arguments.get("device"), "overwrite": overwrite, "resume": resume}
    settings["listener"] = listener
    _tell_versions(before)
    return run(mode, source, Path(output_dir), settings, expected=before)


def _where(before: dict[str, Any], key: str, record: Path) -> str:
    """The file or data set of a record."""
    found: dict[str, Any] = before[key]
    if "path" not in found and not str(found["source"]).startswith("hf:"):
        raise TrainingError(
            f"{record}: {key} was given as a Python object ({found['source']}), so it cannot be read again"
        )
    return str(found.get("path", found["source"]))


def _tell_versions(before: dict[str, Any]) -> None:
    now = {"versions": versions(), "machine": machine()}
    other = differences({"versions": before["versions"], "machine": now["machine"]}, now)
    if other:
        say_once(f"--repeat: versions differ from the run's, so the result may differ: {'; '.join(other)}")
    if now["machine"] != before["machine"]:
        say_once(
            f"--repeat: another machine or thread count, so bits may differ: {before['machine']} before, "
            f"{now['machine']} now"
        )
    if before.get("resumed"):
        say_once(
            "--repeat: the run was resumed with other versions, another machine or thread count, so bits may differ"
        )


def _moved(name: str, path: str | None) -> str:
    """A teacher given as a folder, with its path; a pooling suffix is kept."""
    own = teacher_name(name)
    return name if path is None else path + name[len(own) :]
