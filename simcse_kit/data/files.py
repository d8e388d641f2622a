"""The files that a command was given: by name, or as a folder of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from simcse_kit.data.reading import SUFFIXES, open_rows
from simcse_kit.errors import DataError


def files_of(sources: Sequence[str | Path], tally: Counter[str]) -> list[str]:
    """The files to read: those named, and those below a named folder that end in one of `SUFFIXES` (or that and .gz).

    Other files of a folder (hidden ones apart) are tallied as ``ignored_files``, empty ones as ``empty_files``.
    Raises `DataError` for a named file that is not there or is of no known kind, and where nothing is left.
    """
    named: list[str] = []
    for source in sources:
        folder = Path(source).expanduser()
        if folder.is_dir():
            named += _files_below(folder, tally)
            continue
        with open_rows(source, is_wanted=lambda _: True):  # raises for what cannot be opened, before hours of work
            named.append(str(source))
    files = [name for name in named if name.startswith("hf:") or Path(name).expanduser().stat().st_size]
    tally["empty_files"] = len(named) - len(files)
    if not files:
        others = f"{tally['empty_files']} empty and {tally['ignored_files']} other files"
        raise DataError(
            f"{', '.join(map(str, sources)) or 'nothing named'}: nothing to read ({others}); "
            f"a file's name ends in {', '.join(SUFFIXES)}, or one of these and .gz"
        )
    return files


def _files_below(folder: Path, tally: Counter[str]) -> list[str]:
    files = []
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if path.name.lower().removesuffix(".gz").endswith(SUFFIXES):
            files.append(str(path))
        else:
            tally["ignored_files"] += 1
    return files
