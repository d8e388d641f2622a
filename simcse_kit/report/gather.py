"""Content of a report: models and training runs, each measured on the same data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from simcse_kit.data import read_scored_pairs
from simcse_kit.encoder.settings import RECORD
from simcse_kit.errors import DataError, SimCSEKitError
from simcse_kit.evaluation import SUITES
from simcse_kit.evaluation.results import AVERAGE
from simcse_kit.files import as_written, read_json
from simcse_kit.report.charts import GeometryStep
from simcse_kit.report.comparison import Comparison, ModelScores, compare_models, short_names
from simcse_kit.training.output import RUN_RECORD
from simcse_kit.training.record import METRICS, eval_record, machine, read_metrics
from simcse_kit.training.seeds import seed_models

_HUB = "hf:"  # prefix of the name of a data set there


class RunLog(NamedTuple):
    """Records of a training run."""

    record: Mapping[str, Any]  # run.json
    losses: Sequence[tuple[int, float]]  # by step
    scores: Sequence[tuple[int, float]]  # Spearman x 100 on its evaluation data
    geometry: Sequence[GeometryStep]  # on the same
    saved_step: int | None  # step of the saved model; 0: the start model


@dataclass(frozen=True, kw_only=True, repr=False)
class ModelReport(ModelScores):
    """A model, or a recipe under several seeds, with the logs of its training runs."""

    logs: tuple[RunLog, ...]  # one per seed; empty if it is not a training run


@dataclass(frozen=True, kw_only=True, repr=False)
class Report(Comparison):
    """A comparison, with the records of the models' training runs."""

    models: tuple[ModelReport, ...]
    machine: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def main_score(self) -> str:
        """Main score of the first suite: its average, or its first score."""
        scores = self.models[0].results[self.suites[0]][0].scores
        return AVERAGE if AVERAGE in scores else next(iter(scores))

    @property
    def machine_name(self) -> str:
        """Its data, in a few words."""
        used = any(model.place.startswith("cuda") for model in self.models)
        more = self.machine.get("accelerator") if used else None
        return f"{self.machine['processor']}, {more or str(self.machine['threads']) + ' threads'}"


def make_report(
    models: Sequence[str | Path],
    data: Mapping[str, str | Path] | None = None,
    *,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    show_progress_bar: bool = False,
    announce: Callable[[str], None] = lambda _: None,
    names: Sequence[str] | None = None,
    **embedder: Any,
) -> Report:
    """Measure models, and read the logs of those that are training runs.

    Args:
        models: folders of training runs (or of `train_seeds`, one recipe each), or other arguments of `open_embedder`.
        data: suite to data, as in `evaluate`. None: the evaluation data of the first run that names a file. With data
            of ``sts`` or ``pairs``, ``geometry`` is measured too.
        options: suite to further options of it.
        show_progress_bar: a bar over the sentences of each suite.
        announce: called with the name of each model before it is measured.
        names: name of each model in the report; None: the last part of its name.
        embedder: options of `open_embedder`; also ``cache`` and ``each`` of `compare_models`.

    Raises:
        SimCSEKitError: no data, a model given twice, or an error of opening and evaluating.
    """
    given, named = [str(model) for model in models], names is not None
    if not given:
        raise SimCSEKitError("a report needs at least one model")
    names = short_names(given) if names is None and len(set(given)) == len(given) else names or given
    if double := {name for name in names if names.count(name) > 1}:
        raise SimCSEKitError(f"a report needs different models; given twice: {', '.join(sorted(double))}")
    groups: list[list[str | Path]] = [[*seed_models(name)] or [name] for name in given]
    logs = [[log for log in map(read_log, group) if log is not None] for group in groups]
    notes: list[str] = []
    places: dict[str, str | Path] = dict(data) if data is not None else _own_data(given, logs, notes)
    for part in SUITES:
        for suite in part.beside:
            if suite in places:
                places.setdefault(part.name, places[suite])
    comparison = compare_models(
        given,
        places,
        options=options,
        timed=True,
        show_progress_bar=show_progress_bar,
        announce=_once(announce),
        **embedder,
    )
    return Report(
        models=tuple(
            ModelReport(
                **_fields(model) | {"name": name, "title": name if named else model.title, "named": named},
                logs=tuple(own),
            )
            for model, name, own in zip(comparison.models, names, logs, strict=True)
        ),
        parts=comparison.parts,
        machine=machine(),
        notes=tuple(notes),
    )


def _fields(model: ModelScores) -> dict[str, Any]:
    """The fields of a model's scores, unchanged."""
    return {field.name: getattr(model, field.name) for field in fields(model)}


def _once(announce: Callable[[str], None]) -> Callable[[str, str | None, str], None]:
    """Calls ``announce`` with the name of each model, before its first suite."""
    said: set[str] = set()

    def hear(model: str, pooling: str | None, suite: str) -> None:
        if model not in said:
            said.add(model)
            announce(model)

    return hear


def read_log(folder: str | Path) -> RunLog | None:
    """The log of a training run; None if the folder is not one.

    Raises:
        SimCSEKitError: ``run.json`` is damaged, or the run has not ended.
    """
    run = Path(folder)
    if not (run / RUN_RECORD).is_file():
        return None
    record = read_json(run / RUN_RECORD)
    if not (run / RECORD).is_file():
        checkpoints = sorted(run.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
        last = f"its last checkpoint is {checkpoints[-1]}" if checkpoints else "it has no checkpoint yet"
        raise SimCSEKitError(f"{run} is a training run that has not finished; {last}. To continue it: train --resume")
    saved = read_json(run / RECORD)
    with as_written(run / METRICS):
        lines = read_metrics(run)
        losses, scores = _finite(lines, "loss"), _finite(lines, "eval_spearman")
        geometry = [GeometryStep(*line) for line in _finite(lines, "eval_alignment", "eval_uniformity")]
    return RunLog(
        record=record,
        losses=losses,
        scores=scores,
        geometry=geometry,
        saved_step=saved.get("steps") if saved.get("best_step") is None else saved["best_step"],
    )


def _finite(lines: Sequence[dict[str, Any]], *names: str) -> list[Any]:
    """Step and values of the lines that contain all of them."""
    rows = [(line.get("step"), *map(line.get, names)) for line in lines]
    return [row for row in rows if all(isinstance(value, int | float) and math.isfinite(value) for value in row)]


def _own_data(names: Sequence[str], logs: Sequence[Sequence[RunLog]], notes: list[str]) -> dict[str, str | Path]:
    """The evaluation data of the first run that has any, for the first suite that takes scored pairs."""
    why = []
    for name, log in ((name, log) for name, own in zip(names, logs, strict=True) for log in own):
        recorded = log.record.get("eval_data")
        if not recorded:
            why.append(f"{name} had no evaluation data")
            continue
        source = recorded["source"] if str(recorded["source"]).startswith(_HUB) else recorded.get("path")
        if source is None or not (str(source).startswith(_HUB) or Path(source).is_file()):
            why.append(f"{name} used {recorded['source']}, which does not exist")
            continue
        try:
            same = eval_record(read_scored_pairs(source))["sha256"] == recorded["sha256"]
        except DataError as error:
            why.append(f"that of {name}: {error}")
            continue
        chose = log.record["arguments"].get("select") in (None, "eval-data")
        used = f"the evaluation data of {name}" + (", which selected its checkpoint" if chose else "")
        notes.append(f"The scores are on {source}, {used}. To use other data: --data.")
        if not same:
            notes.append(f"{source} has changed since the run read it.")
        return {next(part.name for part in SUITES if part.takes_scored_pairs): source}
    raise SimCSEKitError(
        f"cannot find evaluation data of a training run ({'; '.join(why) or 'none of the models is a run'}); "
        "name data: --data data/senteval for the suite sts, or --suite pairs --data FILE"
    )
