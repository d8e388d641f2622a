"""Shell completion without a fixed list: model folders, index folders, fields of an index. It never raises."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import typer

_MODEL = ("modules.json", "config.json", "adapter_config.json")  # every model folder has one of them
_INDEX = ("manifest.json",)
_LOOKED_AT = 2000  # at most this many folder entries are read: the user waits after a key press
_DEEP = 2  # folder levels that are searched below the typed path
_PLAIN = re.compile(r"[\w./~+@%,-]+")  # a name that needs no quotes in any shell


def model_folders(incomplete: str) -> list[str]:
    """Model folders; if there are none, the shell completes paths."""
    return _folders(incomplete, _MODEL)


def index_folders(incomplete: str) -> list[str]:
    """Index folders."""
    return _folders(incomplete, _INDEX)


def target_folders(incomplete: str) -> list[str]:
    """Model folders and index folders."""
    return _folders(incomplete, (*_INDEX, *_MODEL))


def index_fields(ctx: typer.Context, incomplete: str) -> list[str]:
    """Metadata fields of the index named before the option. In a list of fields, completes the last one."""
    before = incomplete[: incomplete.rfind(",") + 1]
    return [before + name for name in _fields(ctx)]


def filter_starts(ctx: typer.Context, incomplete: str) -> list[str]:
    """First parts of a filter on one field of the index."""
    if os.environ.get("_SIMCSE_KIT_COMPLETE") == "complete_zsh":  # shells whose completion script loses quotes
        return []
    quote = "" if incomplete else "'"  # the shell keeps a quote that was typed
    return [f'{quote}{{"{name}":' for name in _fields(ctx)]


def _fields(ctx: typer.Context) -> list[str]:
    from simcse_kit.search.address import parse_address
    from simcse_kit.search.store import read_manifest

    try:
        index = ctx.params.get("index") or next(iter(ctx.args), "")  # the parser stops at an option without its value
        address = parse_address(str(index))
        if address.uri is not None:  # a Milvus server may answer slowly
            return []
        return [name for name in read_manifest(Path(address.path)).fields or () if _PLAIN.fullmatch(name)]
    except Exception:
        return []


def _folders(incomplete: str, marks: tuple[str, ...]) -> list[str]:
    """Folders that start with the typed text and hold one of ``marks``."""
    shown = incomplete[: incomplete.rfind("/") + 1]
    walked = _below(os.path.expanduser(shown) or ".", incomplete.removeprefix(shown), marks)
    return sorted(shown + path for path in islice(walked, _LOOKED_AT) if path is not None and _PLAIN.fullmatch(path))


def _below(root: str, begun: str, marks: tuple[str, ...]) -> Iterator[str | None]:
    """Matching folders as paths below ``root``, level by level: the path if it holds a mark, else None."""
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
