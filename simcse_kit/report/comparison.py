"""Several models on the same suites, each compared with the first, for ``simcse-kit eval`` and reports."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

import numpy as np

from simcse_kit.data.reading import check_file
from simcse_kit.encoding.embedders import Embedder, check_embedder, open_embedder
from simcse_kit.errors import SimCSEKitError
from simcse_kit.evaluation import Difference, Interval, Suite, SuiteResult, compare, evaluate, intervals
from simcse_kit.evaluation.suite import name_of, suite_of
from simcse_kit.evaluation.used import without_used
from simcse_kit.report.kept import KeptResult, KeptResults
from simcse_kit.report.recording import check_recordable, record_evaluation
from simcse_kit.report.score_table import MARKS, SHORT, ScoreCell, ScoreLine, ScoreTable, as_html
from simcse_kit.tabular import Tabular, rounded
from simcse_kit.training.seeds import seed_models
from simcse_kit.types import EncodeFn, ScoredPairs, Vectors

_WARM_UP = 64  # warm-up sentences before timing

SuiteChoice = str | Suite | type[Suite]
SuiteData = str | Path | ScoredPairs


class Measurement(NamedTuple):
    """One suite on one model, or on one seed of a recipe."""

    number: int  # number of the model or recipe in the comparison
    given: str  # as the caller named it
    model: str  # folder or name; for a recipe, the folder of the seed
    name: str  # the model's own name; for a recipe ``given``
    pooling: str | None  # None if unknown
    place: str  # see `Embedder`
    sentences_per_second: float  # so far, with tokenizing; nan if not timed
    suite: str
    result: SuiteResult


@dataclass(frozen=True, kw_only=True, repr=False)
class ModelScores:
    """One model, or one recipe under several seeds."""

    name: str  # unique in a comparison
    title: str  # the model's own name; for a recipe its folder
    pooling: str | None
    results: Mapping[str, tuple[SuiteResult, ...]]  # by suite, one per seed
    place: str  # see `Embedder`
    sentences_per_second: float  # during the evaluation, with tokenizing; nan if not timed
    named: bool = False  # the caller gave the title: tables show it unchanged

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {', '.join(self.results)})"

    def label(self, short: str) -> str:
        """Name in a table: ``short``, a short form of the title, and the pooling; or the title that the caller gave."""
        if self.named:
            return self.title
        return short if self.pooling is None or self.pooling in short.split() else f"{short} ({self.pooling})"

    def mean(self, suite: str, score: str) -> float:
        """A score, the mean over the seeds."""
        return fmean(result.scores[score] for result in self.results[suite])

    def spread(self, suite: str, score: str) -> float:
        """Standard deviation of a score over the seeds (N - 1); nan for one seed."""
        values = [result.scores[score] for result in self.results[suite]]
        return stdev(values) if len(values) > 1 else math.nan


@dataclass(frozen=True, kw_only=True, repr=False)
class Comparison(Tabular):
    """Models on the same data, in the given order; all are compared with the first.

    `to_dataframe` has one row per model, suite and score.
    """

    models: tuple[ModelScores, ...]
    parts: Mapping[str, Suite]  # by the suite's name, in order of measurement

    @property
    def suites(self) -> list[str]:
        """Suites in order of measurement."""
        return list(self.parts)

    @cached_property
    def intervals(self) -> Mapping[tuple[str, str], Mapping[str, Interval]]:
        """By model and suite, the interval of each score, over its seeds; empty if the suite has no outcomes."""
        return {
            (model.name, suite): intervals(*results) if results[0].outcomes else {}
            for model in self.models
            for suite, results in model.results.items()
        }

    @cached_property
    def differences(self) -> Mapping[tuple[str, str], Sequence[Difference]]:
        """By model and suite, the differences from the first model; empty for the first, and without outcomes."""
        first = self.models[0]
        return {
            (model.name, suite): compare(first.results[suite], results)
            if model is not first and results[0].outcomes
            else []
            for model in self.models
            for suite, results in model.results.items()
        }

    def notes_of_suites(self) -> list[tuple[str, str]]:
        """(model, note) for all notes of the suites, without duplicates."""
        found = [
            (f"{model.name}, {suite}", note)
            for model in self.models
            for suite, results in model.results.items()
            for result in results
            for note in result.notes
        ]
        return list(dict.fromkeys(found))

    def score_tables(self) -> list[ScoreTable]:
        """One table per suite, in order of measurement."""
        return [self._score_table(suite) for suite in self.suites]

    def _score_table(self, suite: str) -> ScoreTable:
        models = [model for model in self.models if suite in model.results]
        labels = short_names([model.title for model in models])
        part, scores = self.parts[suite], list(models[0].results[suite][0].scores)
        means = {score: [model.mean(suite, score) for model in models] for score in scores}
        highest = {name: max(filter(math.isfinite, own), default=math.nan) for name, own in means.items()}
        ranked = part.higher_is_better and len(models) > 1
        lines = []
        for i, model in enumerate(models):
            marks = {line.score: MARKS.get(line.verdict, "") for line in self.differences[model.name, suite]}
            cells = []
            for score in scores:
                value, spread = rounded(means[score][i], part.digits), model.spread(suite, score)
                span = self.intervals[model.name, suite].get(score, (math.nan, math.nan))
                cells.append(
                    ScoreCell(
                        value=value,
                        spread=rounded(spread, part.digits) if math.isfinite(spread) else "",
                        interval=f"{rounded(span[0], 1)}–{rounded(span[1], 1)}"
                        if all(map(math.isfinite, span))
                        else "",
                        mark=marks.get(score, ""),
                        best=ranked and value == rounded(highest[score], part.digits) != "–",
                    )
                )
            lines.append(ScoreLine(model.label(labels[i]), len(model.results[suite]), cells))
        return ScoreTable(suite, part.unit, [SHORT.get(score, score) for score in scores], lines)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(model.name for model in self.models)}; {', '.join(self.suites)})"

    def _records(self) -> Iterator[dict[str, Any]]:
        for model in self.models:
            for suite, results in model.results.items():
                lines = {line.score: line for line in self.differences[model.name, suite]}
                for score in results[0].scores:
                    low, high = self.intervals[model.name, suite].get(score, (math.nan, math.nan))
                    line = lines.get(score)
                    yield {
                        "model": model.title,
                        "pooling": model.pooling,
                        "suite": suite,
                        "score": score,
                        "value": model.mean(suite, score),
                        "spread": model.spread(suite, score),
                        "seeds": len(results),
                        "low": low,
                        "high": high,
                        "difference": math.nan if line is None else line.difference,
                        "difference_low": math.nan if line is None else line.interval.low,
                        "difference_high": math.nan if line is None else line.interval.high,
                        "verdict": None if line is None else line.verdict,
                    }

    def _repr_html_(self) -> str:
        return "".join(map(as_html, self.score_tables()))


def compare_models(
    models: Sequence[str | Path],
    data: SuiteData | Mapping[str, SuiteData],
    suites: Sequence[SuiteChoice] | None = None,
    *,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    record: bool = False,
    timed: bool = False,
    show_progress_bar: bool = False,
    announce: Callable[[str, str | None, str], None] = lambda *_: None,
    on_measured: Callable[[Measurement], object] = lambda _: None,
    cache: str | Path | None = None,
    each: Sequence[Mapping[str, Any]] | None = None,
    **embedder: Any,
) -> Comparison:
    """Measure several models on the same suites, and compare each with the first (paired bootstrap).

    Judged queries used to train or select one of the models do not count; a note gives their number.

    Args:
        models: arguments of `open_embedder`; a folder of `train_seeds` is one recipe under several seeds.
        data: the data of all suites, or a mapping from suite to data.
        suites: names, ``module:attribute`` or `Suite`; None: the keys of ``data``.
        options: suite to its options, as in `evaluate`.
        record: write the scores into the models' folders and their cards, see `record_evaluation`.
        timed: also measure sentences per second. Each text is encoded once for all suites, so the vectors stay in
            memory.
        show_progress_bar: a bar over the sentences of each suite, and over slow work after them.
        announce: called with model, pooling and suite before each suite is measured, but not for results from
            ``cache``.
        on_measured: called after each suite, so that results are not lost when a later model fails.
        cache: a folder in which results are stored by the content of model, data and settings; stored results are not
            measured again.
        each: further options of `open_embedder` for each model, in the order of ``models``.
        embedder: options of `open_embedder` for all models.

    Raises:
        SimCSEKitError: no model or suite, or an error of opening and evaluating.
        ModelError: with ``record``, a model is not in a folder written by this package; nothing is measured.
    """
    given = [str(model) for model in models]
    if not given:
        raise SimCSEKitError("name at least one model to measure")
    groups: list[list[str | Path]] = [[*seed_models(name)] or [name] for name in given]
    every = [member for members in groups for member in members]
    if record:
        for member in every:
            check_recordable(member)
    parts, places = suites_with_data(suites, data, options or {})
    kept = None if cache is None else KeptResults(cache)
    measured: list[Measurement] = []
    owns = [embedder | (dict(each[number]) if each is not None else {}) for number in range(len(given))]
    for own, members in zip(owns, groups, strict=True):  # before the first is measured
        for member in members:
            check_embedder(member, **own)
    for number, (name, members, own) in enumerate(zip(given, groups, owns, strict=True)):
        for member in members:
            model = open_embedder(member, show_progress_bar=show_progress_bar, **own)
            encode = _Remembering(model) if timed else None
            results = []
            for suite, part in parts.items():
                asked: EncodeFn = model.encode if encode is None or part.large else encode
                bar = (options or {}).get(suite, {}).get("show_progress_bar", show_progress_bar)
                entry = None if kept is None else kept.key(model, own, part, places[suite])
                found = None if kept is None or entry is None else kept.get(entry)
                if found is None:
                    announce(str(member), model.pooling, suite)
                    with model.full_length():
                        result = evaluate(asked, part, places[suite], show_progress_bar=bar)
                    found = KeptResult(result, math.nan if encode is None else encode.per_second)
                    if kept is not None and entry is not None:
                        kept.put(entry, found)
                # the user's own objects are named by the given path
                result = replace(without_used(found.result, every), suite=suite)
                results.append(result)
                one = Measurement(
                    number=number,
                    given=name,
                    model=str(member),
                    name=model.name if members == [name] else name,
                    pooling=model.pooling,
                    place=model.place,
                    sentences_per_second=found.sentences_per_second,
                    suite=suite,
                    result=result,
                )
                measured.append(one)
                on_measured(one)
            if record:
                record_evaluation(member, results)
    return compared(measured, parts)


def compared(measured: Sequence[Measurement], parts: Mapping[str, Suite]) -> Comparison:
    """Results by model, in order; an incomplete model lacks suites."""
    found: dict[int, list[Measurement]] = {}
    for one in measured:
        found.setdefault(one.number, []).append(one)
    given = [own[0].given for own in found.values()]
    names = [name if given.index(name) == i else f"{name} ({i + 1})" for i, name in enumerate(given)]
    return Comparison(
        models=tuple(_scores(name, own) for name, own in zip(names, found.values(), strict=True)),
        parts={name: part for name, part in parts.items() if any(one.suite == name for one in measured)},
    )


def _scores(name: str, own: Sequence[Measurement]) -> ModelScores:
    results: dict[str, tuple[SuiteResult, ...]] = {}
    for one in own:
        results[one.suite] = (*results.get(one.suite, ()), one.result)
    speeds = {one.model: one.sentences_per_second for one in own}  # after the last suite of each seed
    return ModelScores(
        name=name,
        title=own[0].name,
        pooling=own[0].pooling,
        results=results,
        place=own[0].place,
        sentences_per_second=float(np.mean(list(speeds.values()))),
    )


def short_names(names: Sequence[str]) -> list[str]:
    """The last part of each name, or as many parts as make them unique."""
    parts = [name.rstrip("/").split("/") for name in names]
    for count in range(1, max(map(len, parts)) + 1):
        short = ["/".join(part[-count:]) for part in parts]
        if len(set(short)) == len(short):
            return short
    return list(names)


def suites_with_data(
    suites: Sequence[SuiteChoice] | None,
    data: SuiteData | Mapping[str, SuiteData],
    options: Mapping[str, Mapping[str, Any]],
) -> tuple[dict[str, Suite], dict[str, SuiteData]]:
    """The suites with their settings, and the data of each, by name."""
    by_suite = data if isinstance(data, Mapping) else None
    if suites is None:
        if by_suite is None:
            raise SimCSEKitError("name the suites, or pass data as a mapping from suite to data")
        suites = list(by_suite)
    parts: dict[str, Suite] = {}
    places: dict[str, SuiteData] = {}
    for suite in suites:
        name = name_of(suite)
        settings = {key: value for key, value in options.get(name, {}).items() if key != "show_progress_bar"}
        part = suite_of(suite, **settings)
        place = data if by_suite is None else by_suite.get(name)
        if place is None or isinstance(place, Mapping):
            raise SimCSEKitError(f"the suite {name} needs data: {part.data}")
        if part.takes_scored_pairs and isinstance(place, str | Path) and not Path(place).is_dir():
            check_file(place)  # before a model is loaded
        parts[name], places[name] = part, place
    if not parts:
        raise SimCSEKitError("name at least one suite")
    return parts, places


class _Remembering:
    """An `encode` function that encodes each text only once, and measures its time."""

    def __init__(self, model: Embedder) -> None:
        self._encode = model.encode
        self._keeps = model.place != "function"  # a user's own function may depend on all its texts
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
                return vectors  # the suite reports the error
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
