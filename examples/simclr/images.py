"""Images with classes, partly held out: from scikit-learn's digits, a data set of the hub or a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simcse_kit import DataError

TEST_PART = 1 / 3  # if the data set has no test split
SPLIT_SEED = 0  # fixed, so that all seeds have the same held-out images
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")


class Images(NamedTuple):
    """N images of one size and their classes."""

    pixels: Tensor  # (N, C, H, W) float32, 0 to 1; C is 1 (grey) or 3
    labels: NDArray[np.int64]  # (N,)

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> Images:
        """The images of these rows."""
        return Images(self.pixels[torch.as_tensor(rows)], self.labels[np.asarray(rows)])


class ImageData(NamedTuple):
    """Training images and held-out images."""

    name: str
    train: Images
    test: Images
    classes: tuple[str, ...]
    flip: bool  # whether mirroring keeps the class, which is not so for digits


def load_images(dataset: str, *, size: int = 32, limit: int | None = None) -> ImageData:
    """``digits``, ``hf:NAME`` (columns of images and classes are found by type) or a folder CLASS/IMAGE.

    Images become ``size`` x ``size`` pixels; the digits stay 8 x 8. ``limit`` is the maximum number of training
    images, drawn at random. A `DataError` names what the data set lacks.
    """
    if dataset == "digits":
        data = _digits()
    elif dataset.startswith("hf:"):
        data = _hub(dataset.removeprefix("hf:"), size)
    else:
        data = _folder(Path(dataset), size)
    if limit is not None and limit < len(data.classes):
        raise DataError(f"limit must be at least {len(data.classes)}, one image per class; got {limit}")
    if limit is not None and limit < len(data.train.labels):
        order = np.random.default_rng(SPLIT_SEED).permutation(len(data.train.labels))
        firsts = np.unique(data.train.labels[order], return_index=True)[1]  # keep one image of each class
        order = np.concatenate([order[firsts], np.delete(order, firsts)])
        data = data._replace(train=data.train.take(order[:limit]))
    return data


def split_rows(labels: NDArray[np.int64], part: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of a random ``part`` of each class, and the other rows: (N,) -> (M,), (N - M,)."""
    from sklearn.model_selection import train_test_split

    first, second = train_test_split(
        np.arange(len(labels)), train_size=part, stratify=labels, random_state=SPLIT_SEED, shuffle=True
    )
    return first, second


def held_out(images: Images, part: float) -> tuple[Images, Images]:
    """The images to train on, and the held-out ``part`` of each class."""
    out, rest = split_rows(images.labels, part)
    return images.take(rest), images.take(out)


def _digits() -> ImageData:
    """1,797 handwritten digits of 8 x 8 grey pixels, 0 to 16 (E. Alpaydin, C. Kaynak, UCI, 1998)."""
    from sklearn.datasets import load_digits

    found = load_digits()
    pixels = torch.tensor(found.images / 16, dtype=torch.float32).unsqueeze(1)  # (N, 1, 8, 8)
    train, test = held_out(Images(pixels, found.target.astype(np.int64)), TEST_PART)
    return ImageData("digits", train, test, tuple(map(str, range(10))), flip=False)


def _hub(name: str, size: int) -> ImageData:
    """A data set by name or folder, as for `datasets.load_dataset`."""
    import datasets

    try:
        splits = datasets.load_dataset(name)
    except (OSError, datasets.exceptions.DatasetsError) as error:  # no network, or no such data set
        reason = str(error).partition("\n")[0]
        raise DataError(f"hf:{name}: cannot load this data set ({reason}); check its name and the network") from error
    features = splits["train"].features if "train" in splits else next(iter(splits.values())).features
    columns = [key for key, kind in features.items() if isinstance(kind, datasets.Image)]
    classes = [key for key, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
    if not columns or not classes or "train" not in splits:
        found = ", ".join(f"{key} ({type(kind).__name__})" for key, kind in features.items())
        raise DataError(
            f"hf:{name}: this needs a split named train with a column of images and a column of classes; "
            f"found the splits {', '.join(splits)} with {found}"
        )
    names = tuple(features[classes[0]].names)
    grey = splits["train"][0][columns[0]].mode in ("L", "1", "I;16")

    def read(split: Any) -> Images:
        pixels = [_pixels(image, size, grey) for image in split[columns[0]]]
        return Images(torch.stack(pixels), np.asarray(split[classes[0]], dtype=np.int64))

    train = read(splits["train"])
    if "test" in splits:
        return ImageData(name, train, read(splits["test"]), names, flip=True)
    return ImageData(name, *held_out(train, TEST_PART), names, flip=True)


def _folder(folder: Path, size: int) -> ImageData:
    """FOLDER/CLASS/IMAGE, as torchvision's ImageFolder; a third of each class is held out."""
    from PIL import Image, UnidentifiedImageError

    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; a data set is digits, hf:NAME or a folder with one folder a class")
    names = tuple(sorted(entry.name for entry in folder.iterdir() if entry.is_dir()))
    rows: list[tuple[Any, int]] = []
    for label, name in enumerate(names):
        for path in sorted(entry for entry in (folder / name).iterdir() if entry.suffix.lower() in ENDINGS):
            try:
                with Image.open(path) as image:
                    image.load()
                    rows.append((image.copy(), label))
            except (UnidentifiedImageError, OSError) as error:
                raise DataError(f"{path}: cannot read this image ({error}); repair or remove it") from error
    counts = np.bincount([label for _, label in rows], minlength=len(names))
    if len(names) < 2 or counts.min() < 3:
        found = ", ".join(f"{name}: {count}" for name, count in zip(names, counts, strict=True)) or "no folders"
        raise DataError(f"{folder}: this needs at least two folders with at least three images each; found {found}")
    grey = all(image.mode in ("L", "1", "I;16") for image, _ in rows)
    pixels = torch.stack([_pixels(image, size, grey) for image, _ in rows])
    train, test = held_out(Images(pixels, np.array([label for _, label in rows])), TEST_PART)
    return ImageData(folder.name, train, test, names, flip=True)


def _pixels(image: Any, size: int, grey: bool) -> Tensor:
    """The central square of a PIL image as (C, size, size), values 0 to 1."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    if image.mode == "I;16":
        image = image.point(lambda value: value / 256).convert("L")
    square = image.crop((left, top, left + side, top + side)).convert("L" if grey else "RGB").resize((size, size))
    values = torch.from_numpy(np.asarray(square, dtype=np.float32).copy() / 255)
    return values.unsqueeze(0) if grey else values.permute(2, 0, 1)
