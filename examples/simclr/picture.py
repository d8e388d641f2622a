"""One picture: pairs of views, the loss, and maps of the held-out images before and after training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from simclr.experiment import Outcome
from simclr.images import ImageData
from simclr.training import Settings
from simclr.views import augmentations, enlarged, two_views

PAIRS = 8
MAPPED = 1000  # maximum number of images on a map


def draw(data: ImageData, settings: Settings, outcome: Outcome, path: Path) -> None:
    """Draw the picture of one seed and write it to ``path``."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(10.5, 7.2), layout="constrained")
        top, bottom = figure.subfigures(2, 1, height_ratios=[2, 3])
        _draw_views(top, data, settings)
        axes = bottom.subplots(1, 3)
        axes[0].plot(range(1, len(outcome.trained.losses) + 1), outcome.trained.losses, color="#2f7fd1")
        chance = np.log(2 * min(settings.batch_size, len(data.train.labels)) - 1)
        axes[0].axhline(chance, color="#9a9a9a", linestyle="--", linewidth=1)
        axes[0].annotate("chance: log(2N − 1)", (1, chance), xytext=(0, 4), textcoords="offset points", color="#808080")
        axes[0].set(title="NT-Xent loss", xlabel="epoch", ylim=(0, chance * 1.12))
        _draw_map(axes[1], "h before training", outcome.untrained_h, data)
        _draw_map(axes[2], "h after training without labels", outcome.trained_h, data)
        figure.savefig(path, dpi=130)


def _draw_views(part: Any, data: ImageData, settings: Settings) -> None:
    """Draw a row of images and two rows of their views."""
    rows = [int(np.flatnonzero(data.train.labels == label)[0]) for label in range(min(PAIRS, len(data.classes)))]
    pixels = enlarged(data.train.pixels[rows], settings.image_size)
    augment = augmentations(settings.image_size, pixels.shape[1], flip=data.flip, smallest_crop=settings.smallest_crop)
    torch.manual_seed(0)
    shown = [pixels, *two_views(pixels, augment)]
    grid = part.subplots(3, len(rows), squeeze=False)
    for line, name, images in zip(grid, ("image x", "view i", "view j"), shown, strict=True):
        for axis, image in zip(line, images, strict=True):
            axis.imshow(image.permute(1, 2, 0).squeeze(-1).clamp(0, 1), cmap="gray" if image.shape[0] == 1 else None)
            axis.set(xticks=[], yticks=[])
            for side in axis.spines.values():
                side.set_visible(False)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    part.suptitle("In training, each view must find its partner among all views of the batch", fontsize=10)


def _draw_map(axis: Any, title: str, features: NDArray[np.float32], data: ImageData) -> None:
    """Draw the features in two dimensions, by t-SNE of cosine distances (van der Maaten & Hinton, 2008)."""
    from sklearn.manifold import TSNE

    rows = np.arange(len(features))[:MAPPED]
    perplexity = min(30.0, (len(rows) - 1) / 3)
    places = TSNE(metric="cosine", init="random", random_state=0, perplexity=perplexity).fit_transform(features[rows])
    labels = data.test.labels[rows]
    for label, name in enumerate(data.classes):
        own = labels == label
        axis.scatter(*places[own].T, s=7, color=f"C{label % 10}", label=name)
    if len(data.classes) <= 10:
        axis.legend(markerscale=2, fontsize=7, ncols=2, frameon=False, handletextpad=0.1, columnspacing=0.5)
    axis.set(title=title, xticks=[], yticks=[])
    for side in axis.spines.values():
        side.set_visible(False)
