"""The index methods of the original SimCSE tool, with its arguments and return shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from simcse_kit.data import read_sentences
from simcse_kit.errors import SearchIndexError
from simcse_kit.search import Collection

ScoredSentence = tuple[str, float]


class OriginalToolMixin:
    """``build_index``, ``add_to_index`` and ``search`` as in princeton-nlp/SimCSE's ``SimCSE`` class.

    The index lives in memory; `simcse_kit.SentenceIndex` is the one that can be saved.
    """

    encode: Callable[..., Any]
    get_embedding_dimension: Callable[[], int]
    _collection: Collection | None = None

    def build_index(
        self, sentences_or_file_path: str | Path | Sequence[str], *, batch_size: int = 64, device: str | None = None
    ) -> None:
        """Start a new index over sentences, or over the lines of a file."""
        self._collection = Collection(self.get_embedding_dimension())
        self.add_to_index(sentences_or_file_path, batch_size=batch_size, device=device)

    def add_to_index(
        self, sentences_or_file_path: str | Path | Sequence[str], *, batch_size: int = 64, device: str | None = None
    ) -> None:
        """Add sentences, or the lines of a file, to the index."""
        is_file = isinstance(sentences_or_file_path, str | Path)
        sentences = (
            read_sentences(sentences_or_file_path).column(0) if is_file else list(sentences_or_file_path)  # type: ignore[arg-type]
        )
        self._index().add(sentences, self.encode(sentences, batch_size=batch_size, device=device))

    def search(
        self, queries: str | Sequence[str], *, device: str | None = None, threshold: float = 0.6, top_k: int = 5
    ) -> list[ScoredSentence] | list[list[ScoredSentence]]:
        """The best sentences with a cosine of at least ``threshold``: [(sentence, score)], or one list a query."""
        single = isinstance(queries, str)
        texts = [queries] if single else list(queries)
        hits = self._index().search(self.encode(texts, device=device), top_k, threshold)
        answers = [[(hit.text, hit.score) for hit in found] for found in hits]
        return answers[0] if single else answers

    def _index(self) -> Collection:
        if self._collection is None:
            raise SearchIndexError("no index yet: call build_index(sentences) first")
        return self._collection
