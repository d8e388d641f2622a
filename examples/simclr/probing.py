"""Linear probes: accuracy of a linear classifier on fixed features."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from simcse_kit import DataError

STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0)  # C of the logistic regression, the inverse of its penalty
FOLDS = 5


def linear_probe(
    train: NDArray[np.floating],
    labels: NDArray[np.int64],
    test: NDArray[np.floating],
    test_labels: NDArray[np.int64],
) -> float:
    """Accuracy x 100 of logistic regression: train (N, D), test (M, D).

    Cross-validation on the N labelled rows chooses the scaling (all features together, or each by its standard
    deviation) and the penalty. The grid is the same for every kind of feature, so the comparison is fair.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    folds = min(FOLDS, int(np.bincount(labels)[np.unique(labels)].min()))
    if folds < 2:
        raise DataError("a linear probe needs at least two labelled images per class; use more training images")
    train, test = train.astype(np.float64), test.astype(np.float64)
    scale = train.std() or 1.0
    middle = train.mean(0)
    train, test = (train - middle) / scale, (test - middle) / scale
    steps = Pipeline([("scale", "passthrough"), ("classify", LogisticRegression(max_iter=300, tol=1e-3))])
    grid = {"scale": ["passthrough", StandardScaler()], "classify__C": STRENGTHS}
    search = GridSearchCV(steps, grid, cv=StratifiedKFold(folds, shuffle=True, random_state=0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # with a weak penalty, which is not chosen
        search.fit(train, labels)
    return 100 * float(search.score(test, test_labels))


def labelled_rows(labels: NDArray[np.int64], per_class: int, seed: int) -> NDArray[np.int64]:
    """Rows of ``per_class`` random images of each class, or all if it has fewer: (N,) -> (M,)."""
    rng = np.random.default_rng(seed)
    chosen = [rng.permutation(np.flatnonzero(labels == label))[:per_class] for label in np.unique(labels)]
    return np.concatenate(chosen)
