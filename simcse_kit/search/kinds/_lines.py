"""The kinds' lines of help by name, which is what `simcse_kit.search.KINDS` is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from simcse_kit.search.kinds._base import KINDS as _FAMILY


class _Lines(Mapping[str, str]):
    """Read from the family each time: others may register kinds."""

    def __getitem__(self, name: str) -> str:
        if name not in _FAMILY:
            raise KeyError(name)
        line: str = _FAMILY.get(name).help
        return line

    def __iter__(self) -> Iterator[str]:
        return iter(_FAMILY.names())

    def __len__(self) -> int:
        return len(_FAMILY.names())


KINDS: Mapping[str, str] = _Lines()
"""Kinds of index and what they are; all but flat find candidates, whose exact scores decide."""
