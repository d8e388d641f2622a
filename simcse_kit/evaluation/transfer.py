"""SentEval's transfer tasks: accuracy of a linear classifier on frozen vectors (Conneau & Kiela, 2018)."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcse_kit.bars import tqdm
from simcse_kit.errors import DataError
from simcse_kit.evaluation.encoding import Numbers, SentencePool
from simcse_kit.evaluation.results import AVERAGE, Outcome, SuiteResult
from simcse_kit.evaluation.transfer_data import TASKS, Examples, TransferTask, load_transfer
from simcse_kit.types import EncodeFn, Vectors

WEIGHT_DECAYS = (1e-2, 1e-3, 1e-4, 1e-5)  # SentEval's grid, for the mean loss
FOLDS = 5
SEED = 1111  # as in SentEval
_ITERATIONS = 300

Labels = NDArray[np.intp]
Right = NDArray[np.bool_]


class TransferRow(NamedTuple):
    """One task in the detailed table; accuracies times 100."""

    task: str
    train: int  # examples
    test: int  # examples behind the accuracy; all of them in nested cross-validation
    classes: int
    dev: float  # accuracy that selected the weight decay, mean over the outer folds
    accuracy: float
    weight_decay: str  # selected in each outer fold


class _Numbered(NamedTuple):
    first: Numbers
    second: Numbers | None
    labels: Labels

    def features(self, vectors: Vectors) -> Vectors:
        """(N, D); of pairs |u - v| and u * v, (N, 2 D)."""
        u = vectors[self.first]
        if self.second is None:
            return u
        v = vectors[self.second]
        return np.concatenate([np.abs(u - v), u * v], axis=1)


class _Judged(NamedTuple):
    right: Right  # (N,) of the test examples
    devs: list[float]
    decays: list[float]


def evaluate_transfer(
    encode: EncodeFn,
    data_dir: str | Path,
    *,
    tasks: Sequence[str] = TASKS,
    folds: int = FOLDS,
    show_progress_bar: bool = False,
) -> SuiteResult:
    """Accuracy of logistic regression on frozen vectors on MR, CR, SUBJ, MPQA, SST2, TREC and MRPC, and ``avg``.

    SentEval's splits: nested cross-validation (stratified, with its seed) for the first four, the given development set
    for SST2, cross-validation on the training set for TREC and MRPC, whose features are |u - v| and u * v. The weight
    decay is selected from `WEIGHT_DECAYS`, as in SentEval. The classifier is scikit-learn's, trained to convergence;
    SentEval's stops early. `encode` is called once, with every distinct sentence once.

    Args:
        encode: N sentences to (N, D).
        data_dir: see `load_transfer`.
        tasks: tasks to measure, from `TASKS`.
        folds: of the cross-validations; SentEval's fast mode uses 5, the paper's table 10.
        show_progress_bar: a bar over the classifiers.
    """
    start = time.perf_counter()
    if folds < 2:
        raise DataError(f"folds must be at least 2; got {folds}")
    loaded = load_transfer(data_dir, tasks)
    pool = SentencePool()
    numbered = [[_number(pool, part) for part in (task.train, task.dev, task.test)] for task in loaded]
    vectors = pool.encode(encode)
    rows: list[TransferRow] = []
    outcomes: list[Outcome] = []
    for task, (train, dev, test) in zip(_with_bar(loaded, show_progress_bar), numbered, strict=True):
        assert train is not None
        judged, labels = _judge(train, dev, test, vectors, folds, task.name)
        rows.append(_row(task, train, labels, judged))
        tested = task.test or task.train
        texts = (tested.first,) if tested.second is None else (tested.first, tested.second)
        outcomes.append(Outcome(task.name, "mean", judged.right.astype(np.float64), texts=texts))
    scores = {row.task: row.accuracy for row in rows}
    return SuiteResult(
        suite="transfer",
        scores=scores | {AVERAGE: sum(scores.values()) / len(scores)},
        details=tuple(rows),
        seconds=time.perf_counter() - start,
        sentences=len(pool),
        data=str(data_dir),
        outcomes=tuple(outcomes),
    )


def _number(pool: SentencePool, part: Examples | None) -> _Numbered | None:
    if part is None:
        return None
    return _Numbered(pool.add(part.first), None if part.second is None else pool.add(part.second), part.labels)


def _with_bar(tasks: Sequence[TransferTask], shown: bool) -> Iterator[TransferTask]:
    bar = tqdm(tasks, desc="classifiers", unit="task", disable=not shown)
    for task in bar:
        bar.set_postfix_str(task.name)
        yield task


def _judge(
    train: _Numbered, dev: _Numbered | None, test: _Numbered | None, vectors: Vectors, folds: int, name: str
) -> tuple[_Judged, Labels]:
    """Whether each test example is classified correctly, and its label."""
    fewest = int(np.bincount(train.labels).min())
    if dev is None and fewest < folds:
        raise DataError(f"{name}: a class has only {fewest} examples; {folds} folds need as many")
    x, y = train.features(vectors), train.labels
    if test is None:
        right, devs, decays = np.zeros(len(y), dtype=np.bool_), [], []
        for inside, outside in _folds(x, y, folds):
            decay, accuracy = _chosen(x[inside], y[inside], folds)
            right[outside] = _fit(x[inside], y[inside], (decay,))[0].predict(x[outside]) == y[outside]
            devs.append(accuracy)
            decays.append(decay)
        return _Judged(right, devs, decays), y
    if dev is None:
        decay, accuracy = _chosen(x, y, folds)
        model = _fit(x, y, (decay,))[0]
    else:
        held, gold = dev.features(vectors), dev.labels
        models = _fit(x, y, WEIGHT_DECAYS)
        accuracies = [float((model.predict(held) == gold).mean()) for model in models]
        best = int(np.argmax(accuracies))
        decay, accuracy, model = WEIGHT_DECAYS[best], accuracies[best], models[best]
    right = model.predict(test.features(vectors)) == test.labels
    return _Judged(right, [accuracy], [decay]), test.labels


def _chosen(x: Vectors, y: Labels, folds: int) -> tuple[float, float]:
    """The weight decay with the best cross-validation accuracy, and this accuracy."""
    accuracies = np.zeros(len(WEIGHT_DECAYS))
    for inside, outside in _folds(x, y, folds):
        models = _fit(x[inside], y[inside], WEIGHT_DECAYS)
        accuracies += [float((model.predict(x[outside]) == y[outside]).mean()) / folds for model in models]
    best = int(np.argmax(accuracies))
    return WEIGHT_DECAYS[best], float(accuracies[best])


def _folds(x: Vectors, y: Labels, folds: int) -> Iterator[tuple[Numbers, Numbers]]:
    from sklearn.model_selection import StratifiedKFold

    yield from StratifiedKFold(folds, shuffle=True, random_state=SEED).split(x, y)


def _fit(x: Vectors, y: Labels, decays: Sequence[float]) -> list[Any]:
    """A classifier for each weight decay, strongest first: each starts from the previous one."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    models: list[Any] = []
    for decay in decays:
        model = LogisticRegression(C=1 / (decay * len(y)), max_iter=_ITERATIONS, tol=1e-3, warm_start=True)
        if models:
            model.coef_, model.intercept_ = models[-1].coef_.copy(), models[-1].intercept_.copy()
            model.classes_ = models[-1].classes_
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # with weak decay, convergence is not needed
            models.append(model.fit(x, y))
    return models


def _row(task: TransferTask, train: _Numbered, labels: Labels, judged: _Judged) -> TransferRow:
    return TransferRow(
        task=task.name,
        train=len(train.labels),
        test=len(labels),
        classes=len(np.unique(train.labels)),
        dev=100 * float(np.mean(judged.devs)),
        accuracy=100 * float(judged.right.mean()),
        weight_decay=" ".join(f"{decay:g}" for decay in judged.decays),
    )
