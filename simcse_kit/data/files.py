"""Input files of a command: single files, or all files of a folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from simcse_kit.data.reading import SUFFIXES, open_rows
from simcse_kit.errors import DataError


def files_of(sources: Sequence[str | Path], tally: Counter[str]) -> list[str]:
    """Files to read: the named ones, and those below a named folder with a suffix of `SUFFIXES` (also with .gz).

    Counts other files of a folder (except hidden ones) as ``ignored_files`` and empty ones as ``empty_files``. Raises
    `DataError` for a named file that is missing or of an unknown kind, and if no file is left.
    """
    named: list[str] = []
    for source in sources:
        folder = Path(source).expanduser()
        if folder.is_dir():
            named += _files_below(folder, tally)
            continue
        with open_rows(source, is_wanted=lambda _: True):  # raises if a file cannot be opened, before the long work
            named.append(str(source))
    files = [name for name in named if name.startswith("hf:") or Path(name).expanduser().stat().st_size]
    tally["empty_files"] = len(named) - len(files)
    if not files:
        others = f"{tally['empty_files']} empty and {tally['ignored_files']} other files"
        raise DataError(
            f"{', '.join(map(str, sources)) or 'nothing named'}: no file to read ({others}); file names must "
            f"end in {', '.join(SUFFIXES)}, or one of these and .gz"
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
