"""One output file, written atomically."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from simcse_kit.errors import DataError
from simcse_kit.files import staged_file

TRIPLET_HEADER = ("sent0", "sent1", "hard_neg")


def check_new_file(target: Path, inputs: Iterable[str | Path], *, suffix: str, overwrite: bool) -> None:
    """Raise `DataError` before any work if the output cannot be written."""
    if target.suffix.lower() != suffix:
        raise DataError(f"{target}: the name of the output must end in {suffix}")
    if target.is_dir():
        raise DataError(f"{target} is a folder; name a file in it")
    if any(Path(source).resolve() == target.resolve() for source in inputs):
        raise DataError(f"{target} is also an input; name another output")
    if target.exists() and not overwrite:
        raise DataError(f"{target} already exists; name another file, or use --overwrite (overwrite=True)")


def write_triplets(target: Path, triplets: Iterable[Sequence[str]]) -> int:
    """Write rows of `TRIPLET_HEADER` as the `.csv` file that `read_examples` reads; returns their number."""
    with staged_file(target) as folder, (folder / target.name).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(TRIPLET_HEADER)
        count = 0
        for triplet in triplets:
            writer.writerow(triplet)
            count += 1
        return count
