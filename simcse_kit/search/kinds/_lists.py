"""Inverted lists that FAISS reads from a mapped file; each list is checked before its first search."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import faiss
import numpy as np
from numpy.typing import NDArray

from simcse_kit.errors import DamagedIndexError

if TYPE_CHECKING:
    from simcse_kit.search.blocks import BlockFile
    from simcse_kit.types import Vectors

_ID = 8  # bytes of a row number in a list


def head_bytes(structure: Any, rows: int, size: int) -> int:
    """In a file of ``size`` bytes with ``rows`` rows of an IVF structure, the number of bytes before the lists.

    FAISS reads the head into memory and maps the lists. It does not map fast-scan lists; then the head is the whole
    file.
    """
    lists = faiss.downcast_InvertedLists(structure.invlists)
    if not isinstance(lists, faiss.ArrayInvertedLists):
        return size
    return max(0, size - rows * (lists.code_size + _ID))


class CheckedLists:
    """An IVF structure whose lists follow the first ``head`` bytes of a file: codes and ids, list by list."""

    def __init__(self, structure: Any, file: BlockFile, head: int) -> None:
        self.nlist: int = structure.nlist
        self._structure = structure
        self._file = file
        self._head = head
        self._unchecked = np.ones(self.nlist, dtype=bool)

    def search(self, queries: Vectors, count: int, params: Any) -> tuple[Vectors, NDArray[np.int64]]:
        """Like FAISS's search; raises a `DamagedIndexError` for a damaged list."""
        if self._file.checked:
            return self._structure.search(queries, count, params=params)  # type: ignore[no-any-return]
        near, lists = self._structure.quantizer.search(queries, min(params.nprobe, self.nlist))
        for number in np.unique(lists[lists >= 0]):
            if self._unchecked[number]:
                self._file.check(int(self._starts[number]), int(self._starts[number + 1]))
                self._unchecked[number] = False
        scores = np.empty((len(queries), count), dtype=np.float32)
        rows = np.empty((len(queries), count), dtype=np.int64)
        pointers = map(faiss.swig_ptr, (lists, near, scores, rows))
        self._structure.search_preassigned_c(  # FAISS's wrapper takes no parameters
            len(queries), faiss.swig_ptr(queries), count, *pointers, False, params
        )
        return scores, rows

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        """Start of each list in the file, and the end of the last: (nlist + 1,)."""
        lists = faiss.downcast_InvertedLists(self._structure.invlists)
        sizes = np.array([lists.list_size(number) for number in range(self.nlist)], dtype=np.int64)
        starts = self._head + np.concatenate([[0], np.cumsum(sizes * (lists.code_size + _ID))])
        if starts[-1] != len(self._file.content):
            raise DamagedIndexError(f"{self._file.path} is damaged: the size of its lists does not match the file")
        return starts
