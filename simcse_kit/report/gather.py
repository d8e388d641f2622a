"""What a report shows: models and training runs, each measured on the same data."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from simcse_kit.data import read_scored_pairs
from simcse_kit.embedders import open_embedder
from simcse_kit.errors import DataError, SimCSEKitError
from simcse_kit.evaluation import SuiteResult, evaluate
from simcse_kit.evaluation.results import AVERAGE
from simcse_kit.report.charts import Geometry
from simcse_kit.training.record import RUN_RECORD, eval_record, machine
from simcse_kit.training.seeds import seed_models
from simcse_kit.training.trainer import METRICS
from simcse_kit.types import EncodeFn, Vectors

_WARM_UP = 64  # sentences before the clock runs
_GEOMETRY_OF = ("sts", "pairs")  # suites whose data the suite geometry takes too


class RunLog(NamedTuple):
    """What a training run wrote of itself."""

    record: Mapping[str, Any]  # run.json
    losses: Sequence[tuple[int, float]]  # by step
    scores: Sequence[tuple[int, float]]  # Spearman x 100 on its evaluation data
    geometry: Sequence[Geometry]  # on the same
    best_step: int | None  # of the highest score


@dataclass(frozen=True, kw_only=True)
class ModelReport:
    """One model, or one recipe under several seeds."""

    name: str  # distinct in a report
    pooling: str | None
    results: Mapping[str, tuple[SuiteResult, ...]]  # by suite, one for each seed
    logs: tuple[RunLog, ...]  # one for each seed; none where it is no training run
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
    def _threads(self) -> str:
        return f"{self.machine['threads']} threads"

    @property
    def machine_name(self) -> str:
        """What it was measured on, in a few words."""
        return f"{self.machine['processor']}, {self.machine.get('accelerator') or self._threads}"


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
            With the data of `sts` or `pairs`, `geometry` is measured too.
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
    notes: list[str] = []
    places: dict[str, str | Path] = dict(data) if data is not None else _own_data(groups, notes)
    for suite in _GEOMETRY_OF:
        if suite in places:
            places.setdefault("geometry", places[suite])
    made = [
        _measured(short, group, places, options or {}, announce, embedder | {"show_progress_bar": show_progress_bar})
        for short, group in zip(_short(names), groups, strict=True)
    ]
    return Report(models=tuple(made), machine=machine(), notes=tuple(notes))


def read_log(folder: str | Path) -> RunLog | None:
    """The log of a training run; None where the folder is none."""
    run = Path(folder)
    if not (run / RUN_RECORD).is_file():
        return None
    record = json.loads((run / RUN_RECORD).read_text(encoding="utf-8"))
    lines = []
    for line in (run / METRICS).read_text(encoding="utf-8").splitlines() if (run / METRICS).is_file() else ():
        try:
            lines.append(json.loads(line))
        except ValueError:  # cut off by a kill
            continue
    scored = [line for line in lines if line.get("eval_spearman") is not None]
    return RunLog(
        record=record,
        losses=[(line["step"], line["loss"]) for line in lines if "loss" in line],
        scores=[(line["step"], line["eval_spearman"]) for line in scored],
        geometry=[
            Geometry(line["step"], line["eval_alignment"], line["eval_uniformity"])
            for line in scored
            if None not in (line.get("eval_alignment"), line.get("eval_uniformity"))
        ],
        best_step=max(scored, key=lambda line: line["eval_spearman"])["step"] if scored else None,
    )


class _Remembering:
    """An `encode` function that encodes each text once whatever asks for it, and takes its time."""

    def __init__(self, encode: EncodeFn) -> None:
        self._encode = encode
        self._rows: dict[str, int] = {}
        self._vectors: list[Vectors] = []
        self._seconds = 0.0
        self._timed = 0  # sentences

    @property
    def per_second(self) -> float:
        return self._timed / self._seconds if self._seconds else float("nan")

    def __call__(self, sentences: Sequence[str]) -> Vectors:
        new = [text for text in dict.fromkeys(sentences) if text not in self._rows]
        untimed = _WARM_UP if not self._rows and len(new) > _WARM_UP else 0
        for timed, part in ((False, new[:untimed]), (True, new[untimed:])):
            if not part:
                continue
            began = time.perf_counter()
            vectors = np.asarray(self._encode(part), dtype=np.float32)
            if vectors.ndim != 2 or len(vectors) != len(part):
                return vectors  # the suite says what is wrong with it
            if timed:
                self._seconds += time.perf_counter() - began
                self._timed += len(part)
            self._rows |= {text: len(self._rows) + i for i, text in enumerate(part)}
            self._vectors = [np.concatenate([*self._vectors, vectors])]
        if not sentences:
            return np.empty((0, 0), dtype=np.float32)
        return self._vectors[0][[self._rows[text] for text in sentences]]


def _measured(
    name: str,
    members: Sequence[str | Path],
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
        encode = _Remembering(model.encode)
        with model.full_length():
            for suite, place in places.items():
                results[suite].append(evaluate(encode, suite, place, **options.get(suite, {})))
        speeds.append(encode.per_second)
    logs = [log for log in map(read_log, members) if log is not None]
    return ModelReport(
        name=name,
        pooling=model.pooling,
        results={suite: tuple(own) for suite, own in results.items()},
        logs=tuple(logs),
        sentences_per_second=float(np.mean(speeds)),
    )


def _own_data(groups: Sequence[Sequence[str | Path]], notes: list[str]) -> dict[str, str | Path]:
    """The evaluation data of the first run that has some, as the suite pairs."""
    for log in (read_log(member) for group in groups for member in group):
        recorded = None if log is None else log.record.get("eval_data")
        if not recorded or "path" not in recorded or not Path(recorded["path"]).is_file():
            continue
        path = recorded["path"]
        try:
            if eval_record(read_scored_pairs(path))["sha256"] != recorded["sha256"]:
                notes.append(f"{path} is not what it was when the run read it.")
        except DataError:
            continue  # read with options that the record does not say
        notes.append(
            f"The scores are on {path}, which also chose the checkpoints, so they flatter a little; "
            "other data: --data, --suite."
        )
        return {"pairs": path}
    raise SimCSEKitError(
        "none of the models is a training run whose evaluation data is still there; name data to measure on: "
        "--data data/senteval for the suite sts, or --suite pairs --data FILE"
    )


def _short(names: Sequence[str]) -> list[str]:
    """The last part of each name, or as many as make them distinct."""
    parts = [name.rstrip("/").split("/") for name in names]
    for count in range(1, max(map(len, parts)) + 1):
        short = ["/".join(part[-count:]) for part in parts]
        if len(set(short)) == len(short):
            return short
    return list(names)
