"""Any task of MTEB, with the package `mteb` (Muennighoff et al., 2023)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from simcse_kit.bars import tqdm
from simcse_kit.errors import DataError, SimCSEKitError, require_extra
from simcse_kit.evaluation.results import AVERAGE, SuiteResult
from simcse_kit.evaluation.suite import SUITES
from simcse_kit.parts.named import is_named, load_named
from simcse_kit.types import EncodeFn, Vectors

_NO_ITEMS = "mteb gives one score per task and none per item: no intervals, and no test of differences"


class MtebRow(NamedTuple):
    """The main score of one subset of a task."""

    task: str
    split: str
    subset: str
    metric: str  # the task's own
    score: float  # times 100


def evaluate_mteb(encode: EncodeFn, tasks: str | Sequence[Any], *, show_progress_bar: bool = False) -> SuiteResult:
    """Main scores of MTEB tasks, times 100, and their mean ``avg`` if there are several.

    A task's score is the mean over its subsets and splits, as in the package. Uses no prompts, and neither reads nor
    writes mteb's cache of results. mteb gives no scores per item, so there are no intervals.

    Args:
        encode: N texts to (N, D).
        tasks: a name of a task or a benchmark, or ``module:attribute`` for your own tasks (a class or an instance, or a
            sequence of them); several names separated by commas; or a sequence of names and tasks.
        show_progress_bar: a bar over the tasks.

    Raises:
        MissingExtraError: ``mteb`` is not installed.
        DataError: mteb does not have the name, the task is not about text, or its data are not available.
    """
    require_extra("mteb", ["mteb"], "the suite mteb")
    import mteb

    start = time.perf_counter()
    found = _tasks(tasks)
    model = _Model(encode)
    scores: dict[str, float] = {}
    rows: list[MtebRow] = []
    for task in tqdm(found, desc="MTEB", unit="task", disable=not show_progress_bar or len(found) == 1):
        name = task.metadata.name
        try:
            (result,) = mteb.evaluate(
                model, task, co2_tracker=False, cache=None, show_progress_bar=False, public_only=False
            ).task_results
        except (OSError, ValueError) as error:  # how `datasets` reports a missing data set
            raise DataError(f"mteb, task {name}: {type(error).__name__}: {error}") from error
        scores[name] = 100 * float(result.get_score())
        rows += [
            MtebRow(name, split, part["hf_subset"], task.metadata.main_score, 100 * float(part["main_score"]))
            for split, parts in result.scores.items()
            for part in parts
        ]
    undefined = [name for name, score in scores.items() if not np.isfinite(score)]
    if len(scores) > 1:
        scores[AVERAGE] = float(np.mean(list(scores.values())))
    return SuiteResult(
        suite="mteb",
        scores=scores,
        details=tuple(rows),
        seconds=time.perf_counter() - start,
        sentences=model.sentences,
        data=", ".join(task.metadata.name for task in found),
        notes=(*([f"not defined: {', '.join(undefined)}"] if undefined else []), _NO_ITEMS),
    )


class _Model:
    """An `encode` function with the interface of mteb's encoders."""

    def __init__(self, encode: EncodeFn) -> None:
        from mteb.models import ModelMeta

        self._encode = encode
        self.sentences = 0  # over all calls
        self.mteb_model_meta = ModelMeta.create_empty()

    def encode(self, inputs: Iterable[dict[str, list[str]]], **_: Any) -> Vectors:
        texts = [text for batch in inputs for text in batch["text"]]
        self.sentences += len(texts)
        vectors = np.asarray(self._encode(texts), dtype=np.float32)
        if vectors.ndim != 2 or len(vectors) != len(texts):
            raise SimCSEKitError(f"encode must return shape ({len(texts)}, D); got {vectors.shape}")
        return vectors

    def similarity(self, first: Vectors, second: Vectors) -> Any:
        from mteb.similarity_functions import cos_sim

        return cos_sim(first, second)

    def similarity_pairwise(self, first: Vectors, second: Vectors) -> Any:
        from mteb.similarity_functions import pairwise_cos_sim

        return pairwise_cos_sim(first, second)


def _tasks(wanted: str | Sequence[Any]) -> list[Any]:
    from mteb.abstasks import AbsTask

    parts = [wanted] if isinstance(wanted, str) or not isinstance(wanted, Sequence) else list(wanted)
    found = [task for part in parts for task in (_named(part) if isinstance(part, str) else [part])]
    tasks = [task() if isinstance(task, type) and issubclass(task, AbsTask) else task for task in found]
    if not tasks:
        raise DataError(f"mteb: no task is named; {_wanted()}")
    for task in tasks:
        if not isinstance(task, AbsTask):
            raise DataError(f"mteb: {task!r:.100} is not a task; {_wanted()}")
        if task.metadata.modalities != ["text"]:
            raise DataError(
                f"mteb, task {task.metadata.name}: its data are {', '.join(task.metadata.modalities)}, not text"
            )
    return tasks


def _named(text: str) -> list[Any]:
    import mteb

    if is_named(text):
        own = load_named(text, DataError)
        return list(own) if isinstance(own, Sequence) else [own]
    try:
        return list(mteb.get_benchmark(text).tasks)
    except KeyError:
        pass
    names = [name.strip() for name in text.split(",") if name.strip()]
    if len(names) > 1:
        return [task for name in names for task in _named(name)]
    try:
        return [mteb.get_task(name) for name in names]
    except KeyError as error:
        hint = str(error.args[0]).removeprefix("KeyError: ")
        raise DataError(f"mteb: unknown task or benchmark {hint} {_wanted()}") from None


def _wanted() -> str:
    return SUITES.get("mteb").data
