"""What the shell completes beside closed choices: folders of models and indexes, fields of an index. It never fails."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import typer

_MODEL = ("modules.json", "config.json", "adapter_config.json")  # one of them is in every model's folder
_INDEX = ("manifest.json",)
_LOOKED_AT = 2000  # entries of folders, at most: a key was pressed
_DEEP = 2  # levels of folders below what was typed
_PLAIN = re.compile(r"[\w./~+@%,-]+")  # a name that every shell takes without quotes


def model_folders(incomplete: str) -> list[str]:
    """Folders of models; where there is none, the shell completes paths."""
    return _folders(incomplete, _MODEL)


def index_folders(incomplete: str) -> list[str]:
    """Folders of indexes."""
    return _folders(incomplete, _INDEX)


def target_folders(incomplete: str) -> list[str]:
    """Folders of both."""
    return _folders(incomplete, (*_INDEX, *_MODEL))


def index_fields(ctx: typer.Context, incomplete: str) -> list[str]:
    """Fields of the metadata of the index that stands before the option; of several names the last one."""
    before = incomplete[: incomplete.rfind(",") + 1]
    return [before + name for name in _fields(ctx)]


def filter_starts(ctx: typer.Context, incomplete: str) -> list[str]:
    """Beginnings of a filter on one field of the index."""
    if os.environ.get("_SIMCSE_KIT_COMPLETE") == "complete_zsh":  # whose script does not let quotes through
        return []
    quote = "" if incomplete else "'"  # the shell keeps a quote that was typed
    return [f'{quote}{{"{name}":' for name in _fields(ctx)]


def _fields(ctx: typer.Context) -> list[str]:
    from simcse_kit.search.address import parse_address
    from simcse_kit.search.store import read_manifest

    try:
        index = ctx.params.get("index") or next(iter(ctx.args), "")  # an option without its value stops the parser
        address = parse_address(str(index))
        if address.uri is not None:  # Milvus, which may be far away
            return []
        return [name for name in read_manifest(Path(address.path)).fields or () if _PLAIN.fullmatch(name)]
    except Exception:
        return []


def _folders(incomplete: str, marks: tuple[str, ...]) -> list[str]:
    """Folders that begin with what was typed and hold one of ``marks``."""
    shown = incomplete[: incomplete.rfind("/") + 1]
    walked = _below(os.path.expanduser(shown) or ".", incomplete.removeprefix(shown), marks)
    return sorted(shown + path for path in islice(walked, _LOOKED_AT) if path is not None and _PLAIN.fullmatch(path))


def _below(root: str, begun: str, marks: tuple[str, ...]) -> Iterator[str | None]:
    """Folders with a mark that begin so, as paths below ``root``, level by level; None for every other entry."""
    level = [""]
    for _ in range(_DEEP):
        deeper = []
        for place in level:
            for name, is_folder in _entries(os.path.join(root, place)):
                path = f"{place}/{name}" if place else name
                if not is_folder or not path.startswith(begun) or (name.startswith(".") and not begun.startswith(".")):
                    yield None
                elif any(os.path.isfile(os.path.join(root, path, mark)) for mark in marks):
                    yield path
                else:
                    deeper.append(path)
                    yield None
        level = deeper


def _entries(folder: str) -> Iterator[tuple[str, bool]]:
    try:
        with os.scandir(folder) as found:
            for entry in found:
                yield entry.name, entry.is_dir()
    except OSError:
        return
