"""The tables of everything that one can choose, from the parts themselves: each block of the README by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from simcse_kit.encoder.backends.part import BACKENDS
from simcse_kit.encoder.poolers import POOLERS
from simcse_kit.encoding.export.part import EXPORT_FORMATS
from simcse_kit.evaluation.suite import SUITES
from simcse_kit.objectives import AUGMENTATIONS, OBJECTIVES, TERMS
from simcse_kit.search.kinds import KINDS

Column = tuple[str, Callable[[Any], str]]


def part_blocks() -> dict[str, str]:
    """Name of a block to its lines."""
    return {
        "suites": part_table("suite", SUITES, ("data", lambda part: part.data), ("scores", lambda part: part.unit)),
        "objectives": part_table("objective", OBJECTIVES, ("trains on", trains_on)),
        "terms": part_table("term", TERMS, ("joins", joins)),
        "augmentations": part_table("augmentation", AUGMENTATIONS),
        "poolings": part_table("pooling", POOLERS, ("in sentence-transformers", lambda part: part.st_mode or "no")),
        "kinds": part_table("kind", KINDS, ("in Milvus", in_milvus)),
        "backends": part_table("backend", BACKENDS, ("dtypes", lambda part: ", ".join(part.dtypes))),
        "formats": part_table("format", EXPORT_FORMATS),
    }


def part_table(noun: str, parts: Iterable[Any], *columns: Column) -> str:
    """A line for each part: its name, its help, what ``columns`` read from it, its source."""
    head = [noun, "what it is", *(title for title, _ in columns), "source"]
    lines = [_line(head), _line(["---"] * len(head))]
    for part in parts:
        lines.append(_line([f"`{part.name}`", part.help, *(read(part) for _, read in columns), part.source]))
    return "\n".join(lines)


def trains_on(objective: Any) -> str:
    """The command's modes, and whether rows are scored pairs."""
    modes = " and ".join(f"`train {mode}`" for mode in objective.modes)
    return f"{modes}, scored pairs" if objective.scored else modes


def in_milvus(kind: Any) -> str:
    """Milvus's name for a kind, and whether Milvus Lite has it."""
    if kind.milvus is None:
        return "no"
    return f"{kind.milvus.index_type}{'' if kind.milvus.lite else ', server only'}"


def joins(term: Any) -> str:
    """The objectives that a term goes with."""
    return ", ".join(f"`{objective.name}`" for objective in OBJECTIVES if term().combines(objective))


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.removesuffix(".").replace("|", "\\|") for cell in cells) + " |"
