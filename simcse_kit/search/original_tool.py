"""The index methods of the original SimCSE tool, with its arguments and return shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from simcse_kit.data import read_sentences
from simcse_kit.errors import SearchIndexError
from simcse_kit.search import Collection

ScoredSentence = tuple[str, float]


class OriginalToolMixin:
    """``build_index``, ``add_to_index`` and ``search`` as in princeton-nlp/SimCSE's ``SimCSE`` class.

    The index is in memory; use `simcse_kit.SentenceIndex` to save one.
    """

    encode: Callable[..., Any]
    get_embedding_dimension: Callable[[], int]
    _collection: Collection | None = None

    def build_index(
        self,
        sentences_or_file_path: str | Path | Sequence[str],
        use_faiss: bool | None = None,
        faiss_fast: bool = False,
        device: str | None = None,
        batch_size: int = 64,
    ) -> None:
        """Start a new index over N sentences, or over the lines of a file. Raises a `DataError` for a bad file.

        ``use_faiss`` and ``faiss_fast`` are accepted but have no effect: the index always uses FAISS, and is exact.
        """
        collection = Collection(self.get_embedding_dimension())
        self._add(collection, sentences_or_file_path, device, batch_size)
        self._collection = collection

    def add_to_index(
        self, sentences_or_file_path: str | Path | Sequence[str], device: str | None = None, batch_size: int = 64
    ) -> None:
        """Add N sentences, or the lines of a file, to the index. Raises a `SearchIndexError` if there is no index."""
        self._add(self._index(), sentences_or_file_path, device, batch_size)

    def search(
        self, queries: str | Sequence[str], device: str | None = None, threshold: float = 0.6, top_k: int = 5
    ) -> list[ScoredSentence] | list[list[ScoredSentence]]:
        """The ``top_k`` best sentences with a cosine of at least ``threshold``, best first.

        A string gives [(sentence, score)]; Q strings give a list of such lists. Raises a `SearchIndexError` if there is
        no index.
        """
        single = isinstance(queries, str)
        hits = self._index().search(self.encode([queries] if single else queries, device=device), top_k, threshold)
        answers = [[(hit.text, hit.score) for hit in found] for found in hits]
        return answers[0] if single else answers

    def _add(
        self, collection: Collection, source: str | Path | Sequence[str], device: str | None, batch_size: int
    ) -> None:
        sentences = read_sentences(source).column(0) if isinstance(source, str | Path) else source
        if isinstance(sentences, Iterator):
            sentences = list(sentences)
        vectors = self.encode(sentences, batch_size=batch_size, device=device)  # raises an error for anything but text
        collection.add([str(sentence) for sentence in sentences], vectors)

    def _index(self) -> Collection:
        if self._collection is None:
            raise SearchIndexError("no index yet: call build_index(sentences) first")
        return self._collection
