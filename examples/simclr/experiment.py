"""Linear probes of SimCLR's features: four kinds of features, two numbers of labels, several seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

from simclr.images import ImageData
from simclr.probing import labelled_rows, linear_probe
from simclr.training import Settings, Trained, new_model, train

FEATURES = ("raw pixels", "untrained encoder", "h, before the head", "z, after the head")
LABELS = ("few", "all")


class Outcome(NamedTuple):
    """Results of one seed."""

    accuracy: dict[str, dict[str, float]]  # features -> labels -> accuracy x 100 on the held-out images
    trained: Trained
    untrained_h: NDArray[np.float32]  # (N, D), held-out images
    trained_h: NDArray[np.float32]


def run_seed(data: ImageData, settings: Settings, seed: int, *, per_class: int = 10) -> Outcome:
    """Train, then probe. The seed sets the weights, the views and the choice of labelled images."""
    untrained = new_model(data.train, settings, seed)
    with tqdm(total=settings.epochs, desc=f"seed {seed}", unit="epoch") as bar:

        def progress(epoch: int, loss: float) -> None:
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            bar.update()

        trained = train(data.train, settings, seed=seed, flip=data.flip, progress=progress)
    before = [untrained.features(part)[0] for part in (data.train, data.test)]
    after = [trained.model.features(part) for part in (data.train, data.test)]
    features = {
        "raw pixels": [part.pixels.flatten(1).numpy() for part in (data.train, data.test)],
        "untrained encoder": before,
        "h, before the head": [h for h, _ in after],
        "z, after the head": [z for _, z in after],
    }
    labels = data.train.labels
    rows = {"few": labelled_rows(labels, per_class, seed), "all": np.arange(len(labels))}
    accuracy = {
        name: {
            amount: linear_probe(own[0][rows[amount]], labels[rows[amount]], own[1], data.test.labels)
            for amount in LABELS
        }
        for name, own in features.items()
    }
    return Outcome(accuracy, trained, before[1], after[1][0])


def table(outcomes: Sequence[Outcome], per_class: int) -> str:
    """Mean over the seeds and, for several seeds, standard deviation."""
    lines = [("", f"{per_class} labels per class", "all labels")]
    for name in FEATURES:
        cells = []
        for amount in LABELS:
            values = [outcome.accuracy[name][amount] for outcome in outcomes]
            spread = f" ± {np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
            cells.append(f"{np.mean(values):.1f}{spread}")
        lines.append((name, *cells))
    widths = [max(len(line[i]) for line in lines) for i in range(3)]
    return "\n".join(f"{a.ljust(widths[0])}   {b.rjust(widths[1])}   {c.rjust(widths[2])}" for a, b, c in lines)
