"""The kind that a name stands for, FAISS's factory strings included."""

from __future__ import annotations

import re

from simcse_kit.errors import SearchIndexError
from simcse_kit.parts import is_named
from simcse_kit.search.kinds._base import KINDS, IndexKind
from simcse_kit.search.kinds._factory import Graph, InvertedLists

_FACTORY_HELP = "a FAISS factory string"


def get_kind(name: str, *, recorded: bool = False, trust_remote_code: bool = False) -> IndexKind:
    """The kind of a name, of a FAISS factory string that begins with IVF or HNSW, or of ``module:attribute``.

    ``recorded`` and ``trust_remote_code`` are those of `Family.get`.

    Raises:
        SearchIndexError: no such kind; the text lists them.
    """
    if name not in KINDS and not is_named(name):
        if re.match(r"IVF\d", name):
            return InvertedLists(name=name, help=_FACTORY_HELP, given=name)
        if re.match(r"HNSW\d", name):
            return Graph(name=name, help=_FACTORY_HELP, given=name)
        text = KINDS.unknown(name)
        end = "" if text.endswith("?") else "."
        raise SearchIndexError(
            f"{text}{end} It may also be auto, or a FAISS factory string that begins with IVF or HNSW"
        )
    found = KINDS.get(name, recorded=recorded, trust_remote_code=trust_remote_code)
    kind: IndexKind = found() if isinstance(found, type) else found
    return kind
