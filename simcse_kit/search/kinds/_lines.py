"""One line of help per kind, by name: `simcse_kit.search.KINDS`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from simcse_kit.search.kinds._base import KINDS as _FAMILY


class _Lines(Mapping[str, str]):
    """Read from the family each time: other packages may register kinds."""

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
"""Index kinds with their help; all except flat find candidates that exact scores rank."""
