"""What a report shows: models and training runs, each measured on the same data."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from simcse_kit.data import read_scored_pairs
from simcse_kit.encoder.folder import RECORD
from simcse_kit.encoding.embedders import Embedder, open_embedder
from simcse_kit.errors import DataError, SimCSEKitError
from simcse_kit.evaluation import Difference, Interval, SuiteResult, compare, evaluate, intervals
from simcse_kit.evaluation.results import AVERAGE
from simcse_kit.files import read_json
from simcse_kit.report.charts import Geometry
from simcse_kit.training.record import RUN_RECORD, eval_record, machine, read_metrics
from simcse_kit.training.seeds import seed_models
from simcse_kit.types import Vectors

_HUB = "hf:"  # before the name of a data set there
_WARM_UP = 64  # sentences before the clock runs
_GEOMETRY_OF = ("sts", "pairs")  # suites whose data the suite geometry takes too


class RunLog(NamedTuple):
    """What a training run wrote of itself."""

    record: Mapping[str, Any]  # run.json
    losses: Sequence[tuple[int, float]]  # by step
    scores: Sequence[tuple[int, float]]  # Spearman x 100 on its evaluation data
    geometry: Sequence[Geometry]  # on the same
    saved_step: int | None  # whose model was kept


@dataclass(frozen=True, kw_only=True)
class ModelReport:
    """One model, or one recipe under several seeds."""

    name: str  # distinct in a report
    pooling: str | None
    results: Mapping[str, tuple[SuiteResult, ...]]  # by suite, one for each seed
    logs: tuple[RunLog, ...]  # one for each seed; none where it is no training run
    place: str  # see `Embedder`
    sentences_per_second: float  # of the evaluation, tokenizing included; nan for an empty one

    def mean(self, suite: str, score: str) -> float:
        """A score, the mean over the seeds."""
        return fmean(result.scores[score] for result in self.results[suite])


@dataclass(frozen=True, kw_only=True)
class Report:
    """Models on the same data, in the order in which they were named; all are compared with the first."""

    models: tuple[ModelReport, ...]
    machine: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def suites(self) -> list[str]:
        """In the order in which they were measured."""
        return list(self.models[0].results)

    @property
    def main_score(self) -> str:
        """Of the first suite: its average, or its first score."""
        scores = self.models[0].results[self.suites[0]][0].scores
        return AVERAGE if AVERAGE in scores else next(iter(scores))

    @property
    def machine_name(self) -> str:
        """What it was measured on, in a few words."""
        used = any(model.place.startswith("cuda") for model in self.models)
        more = self.machine.get("accelerator") if used else None
        return f"{self.machine['processor']}, {more or str(self.machine['threads']) + ' threads'}"

    @cached_property
    def intervals(self) -> Mapping[tuple[str, str], Mapping[str, Interval]]:
        """By model and suite, where each score lies, over its seeds; none where the suite has no outcomes."""
        return {
            (model.name, suite): intervals(*results) if results[0].outcomes else {}
            for model in self.models
            for suite, results in model.results.items()
        }

    @cached_property
    def differences(self) -> Mapping[tuple[str, str], Sequence[Difference]]:
        """By model and suite, what it is beside the first; none of the first itself, and none without outcomes."""
        first = self.models[0]
        return {
            (model.name, suite): compare(first.results[suite], results)
            if model is not first and results[0].outcomes
            else []
            for model in self.models
            for suite, results in model.results.items()
        }


def make_report(
    models: Sequence[str | Path],
    data: Mapping[str, str | Path] | None = None,
    *,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    show_progress_bar: bool = False,
    announce: Callable[[str], None] = lambda _: None,
    **embedder: Any,
) -> Report:
    """Measure models and read the logs of those that are training runs.

    Args:
        models: folders of training runs (or of `train_seeds`, one recipe each), or whatever `open_embedder` takes.
        data: suite to data, as `evaluate` takes both. None: the evaluation data of the first run that names a file.
            With the data of ``sts`` or ``pairs``, ``geometry`` is measured too.
        options: suite to further options of it.
        show_progress_bar: a bar over the sentences of each suite.
        announce: hears the name of each model before it is measured.
        embedder: options of `open_embedder`.

    Raises:
        SimCSEKitError: no data, a model twice, or what opening and evaluating raise.
    """
    names = [str(model) for model in models]
    if not names:
        raise SimCSEKitError("a report needs at least one model")
    if double := {name for name in names if names.count(name) > 1}:
        raise SimCSEKitError(f"a report has each model once; twice: {', '.join(sorted(double))}")
    groups: list[list[str | Path]] = [[*seed_models(name)] or [name] for name in names]
    logs = [[log for log in map(read_log, group) if log is not None] for group in groups]
    notes: list[str] = []
    places: dict[str, str | Path] = dict(data) if data is not None else _own_data(names, logs, notes)
    for suite in _GEOMETRY_OF:
        if suite in places:
            places.setdefault("geometry", places[suite])
    embedder = embedder | {"show_progress_bar": show_progress_bar}
    made = [
        _measured(short, group, own, places, options or {}, announce, embedder)
        for short, group, own in zip(_short(names), groups, logs, strict=True)
    ]
    return Report(models=tuple(made), machine=machine(), notes=tuple(notes))


def read_log(folder: str | Path) -> RunLog | None:
    """The log of a training run; None where the folder is none.

    Raises:
        SimCSEKitError: ``run.json`` is broken, or the run has not ended.
    """
    run = Path(folder)
    if not (run / RUN_RECORD).is_file():
        return None
    record = read_json(run / RUN_RECORD)
    if not (run / RECORD).is_file():
        checkpoints = sorted(run.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
        last = f"its last checkpoint is {checkpoints[-1]}" if checkpoints else "it has no checkpoint yet"
        raise SimCSEKitError(f"{run} is a training run that has not ended; {last}. Go on with train --resume")
    saved = read_json(run / RECORD)
    lines = read_metrics(run)
    return RunLog(
        record=record,
        losses=_finite(lines, "loss"),
        scores=_finite(lines, "eval_spearman"),
        geometry=[Geometry(*line) for line in _finite(lines, "eval_alignment", "eval_uniformity")],
        saved_step=saved.get("best_step") or saved.get("steps"),
    )


def _finite(lines: Sequence[dict[str, Any]], *names: str) -> list[Any]:
    """Step and values of the lines that have them all."""
    rows = [(line.get("step"), *map(line.get, names)) for line in lines]
    return [row for row in rows if all(isinstance(value, int | float) and math.isfinite(value) for value in row)]


class _Remembering:
    """An `encode` function that encodes each text once whatever asks for it, and takes its time."""

    def __init__(self, model: Embedder) -> None:
        self._encode = model.encode
        self._keeps = model.place != "function"  # one of the user's own may look at all that it gets
        self._warm = model.place in ("function", "endpoint")
        self._rows: dict[str, Vectors] = {}
        self._seconds = 0.0
        self._timed = 0  # sentences

    @property
    def per_second(self) -> float:
        return self._timed / self._seconds if self._seconds else math.nan

    def __call__(self, sentences: Sequence[str]) -> Vectors:
        if not self._keeps or not sentences:
            return self._timed_encode(sentences)
        new = [text for text in dict.fromkeys(sentences) if text not in self._rows]
        if new:
            vectors = self._timed_encode(new)
            if vectors.ndim != 2 or len(vectors) != len(new):
                return vectors  # the suite says what is wrong with it
            self._rows |= zip(new, vectors, strict=True)
        return np.stack([self._rows[text] for text in sentences])

    def _timed_encode(self, sentences: Sequence[str]) -> Vectors:
        if not self._warm:
            self._encode(sentences[:_WARM_UP])
            self._warm = True
        began = time.perf_counter()
        vectors = np.asarray(self._encode(sentences), dtype=np.float32)
        self._seconds += time.perf_counter() - began
        self._timed += len(sentences)
        return vectors


def _measured(
    name: str,
    members: Sequence[str | Path],
    logs: Sequence[RunLog],
    places: Mapping[str, str | Path],
    options: Mapping[str, Mapping[str, Any]],
    announce: Callable[[str], None],
    embedder: Mapping[str, Any],
) -> ModelReport:
    results: dict[str, list[SuiteResult]] = {suite: [] for suite in places}
    speeds = []
    for member in members:
        announce(str(member))
        model = open_embedder(member, **embedder)
        encode = _Remembering(model)
        with model.full_length():
            for suite, place in places.items():
                encode_of = model.encode if suite == "mteb" else encode  # whose corpora are too large to keep
                results[suite].append(evaluate(encode_of, suite, place, **options.get(suite, {})))
        speeds.append(encode.per_second)
    return ModelReport(
        name=name,
        pooling=model.pooling,
        results={suite: tuple(own) for suite, own in results.items()},
        logs=tuple(logs),
        place=model.place,
        sentences_per_second=float(np.mean(speeds)),
    )


def _own_data(names: Sequence[str], logs: Sequence[Sequence[RunLog]], notes: list[str]) -> dict[str, str | Path]:
    """The evaluation data of the first run that has some, as the suite pairs."""
    why = []
    for name, log in ((name, log) for name, own in zip(names, logs, strict=True) for log in own):
        recorded = log.record.get("eval_data")
        if not recorded:
            why.append(f"{name} had no evaluation data")
            continue
        source = recorded["source"] if str(recorded["source"]).startswith(_HUB) else recorded.get("path")
        if source is None or not (str(source).startswith(_HUB) or Path(source).is_file()):
            why.append(f"that of {name}, {recorded['source']}, is not there")
            continue
        try:
            same = eval_record(read_scored_pairs(source))["sha256"] == recorded["sha256"]
        except DataError as error:
            why.append(f"that of {name}: {error}")
            continue
        chose = log.record["arguments"].get("select") in (None, "eval-data")
        told = f"the evaluation data of {name}" + (", which chose its checkpoint by them" if chose else "")
        notes.append(f"The scores are on {source}, {told}. Other data: --data.")
        if not same:
            notes.append(f"{source} is not what it was when the run read it.")
        return {"pairs": source}
    raise SimCSEKitError(
        f"there is no evaluation data of a training run to measure on ({'; '.join(why) or 'none of them is a run'}); "
        "name some: --data data/senteval for the suite sts, or --suite pairs --data FILE"
    )


def _short(names: Sequence[str]) -> list[str]:
    """The last part of each name, or as many as make them distinct."""
    parts = [name.rstrip("/").split("/") for name in names]
    for count in range(1, max(map(len, parts)) + 1):
        short = ["/".join(part[-count:]) for part in parts]
        if len(set(short)) == len(short):
            return short
    return list(names)
