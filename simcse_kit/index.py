"""`SentenceIndex`: sentences in, similar sentences out, in a folder that knows its model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

from simcse_kit.errors import ModelError, SearchIndexError
from simcse_kit.model import SimCSE
from simcse_kit.search import Collection, Hit


class SentenceIndex:
    """Semantic search over sentences; make one with `build` or `open`.

    `add` changes memory, `save` commits to the folder; a commit never harms the one before it.
    """

    def __init__(self, model: SimCSE, collection: Collection) -> None:
        self.model = model
        self._collection = collection

    @classmethod
    def build(
        cls,
        model: SimCSE | str | Path,
        sentences: Sequence[str],
        ids: Sequence[int | str] | None = None,
        *,
        batch_size: int | None = None,
        show_progress_bar: bool = False,
    ) -> SentenceIndex:
        """Encode sentences into a new index in memory.

        Args:
            model: a `SimCSE`, or the name or folder of one.
            sentences: N texts; equal ones are allowed.
            ids: N distinct integers or N distinct strings; None numbers them from 0.
            batch_size: sentences in one forward pass; None: as many as run fastest.
            show_progress_bar: show one.

        Raises:
            ModelError: the model cannot be loaded.
            SearchIndexError: ids that are not distinct, or integers and strings mixed.
        """
        model = model if isinstance(model, SimCSE) else SimCSE(model)
        collection = Collection(model.get_embedding_dimension())
        folder = Path(model.name)
        collection.model = {
            "name": str(folder.absolute()) if folder.is_dir() else model.name,
            "pooling": model.pooling,
            "max_seq_length": model.max_seq_length,
            "fingerprint": model.fingerprint(),
        }
        index = cls(model, collection)
        index.add(sentences, ids, batch_size=batch_size, show_progress_bar=show_progress_bar)
        return index

    @classmethod
    def open(
        cls,
        folder: str | Path,
        model: SimCSE | str | Path | None = None,
        *,
        device: str | None = None,
        backend: str = "torch",
        dtype: str = "float32",
    ) -> SentenceIndex:
        """Open the last commit of a folder; ``model`` None loads the one that the manifest names.

        ``device``, ``backend`` and ``dtype`` are those of `SimCSE`, for a model that is loaded here.

        Raises:
            SearchIndexError: no index there, a damaged file, a newer format, or a model that is not the index's.
        """
        collection = Collection.open(folder)
        made_with = collection.model
        if not isinstance(model, SimCSE):
            name = made_with["name"] if model is None else model
            try:
                model = SimCSE(
                    name,
                    pooling=made_with["pooling"],
                    max_seq_length=made_with["max_seq_length"],
                    device=device,
                    backend=backend,
                    dtype=dtype,
                )
            except ModelError as error:
                hint = "; where it has moved, name it (--model)" if model is None else ""
                raise SearchIndexError(f"{folder}: its model {name} cannot be loaded: {error}{hint}") from error
        if model.fingerprint() != made_with["fingerprint"]:
            raise SearchIndexError(
                f"{folder} was made with another model: {made_with['name']} (pooling {made_with['pooling']}, at most "
                f"{made_with['max_seq_length']} tokens, fingerprint {made_with['fingerprint'][:12]}); got {model.name} "
                f"(pooling {model.pooling}, {model.max_seq_length} tokens, {model.fingerprint()[:12]}). "
                "Use that model, or build the index anew with this one"
            )
        return cls(model, collection)

    def __len__(self) -> int:
        return len(self._collection)

    def __repr__(self) -> str:
        return f"SentenceIndex({len(self)} sentences, model={self.model.name!r})"

    def add(
        self,
        sentences: Sequence[str],
        ids: Sequence[int | str] | None = None,
        *,
        batch_size: int | None = None,
        show_progress_bar: bool = False,
    ) -> None:
        """Encode sentences and add them, in memory; `save` commits. ``ids`` as in `build`, going on where None.

        Raises:
            SearchIndexError: an id that is taken or of another type, or a model that has changed since.
            TypeError: one string instead of a list.
        """
        if isinstance(sentences, str):
            raise TypeError("an index takes a list of sentences, not one string; for one sentence, give [sentence]")
        self._check_model()
        texts = list(sentences)
        vectors = self.model.encode_document(texts, batch_size=batch_size, show_progress_bar=show_progress_bar)
        self._collection.add(texts, vectors, ids)

    def save(self, folder: str | Path | None = None) -> Path:
        """Commit to ``folder`` (None: where it was opened or saved last), at one instant; returns the folder.

        Raises:
            SearchIndexError: no folder named yet, another index there, or a commit by somebody else since opening.
            DiskFullError: no space; the last commit stays.
        """
        return self._collection.save(folder)

    @overload
    def search(  # type: ignore[overload-overlap]  # one string is also a sequence of strings
        self, queries: str, k: int = ..., threshold: float | None = ...
    ) -> list[Hit]: ...
    @overload
    def search(self, queries: Sequence[str], k: int = ..., threshold: float | None = ...) -> list[list[Hit]]: ...
    def search(self, queries: str | Sequence[str], k: int = 5, threshold: float | None = None) -> Any:
        """The ``k`` most similar sentences, best first, with a cosine of at least ``threshold``.

        One string gives ``list[Hit]``, Q strings ``list[list[Hit]]``; a `Hit` has ``id``, ``text`` and ``score``.

        Raises:
            SearchIndexError: ``k`` below 1, or a model that has changed since the index was made.
        """
        self._check_model()
        if isinstance(queries, str):
            return self._collection.search(self.model.encode_query([queries]), k, threshold)[0]
        return self._collection.search(self.model.encode_query(list(queries)), k, threshold)

    def _check_model(self) -> None:
        """The model may have been trained on, or its length or prompts set, since the index was made with it."""
        if self.model.fingerprint() != self._collection.model["fingerprint"]:
            raise SearchIndexError(
                f"the model {self.model.name} has changed (weights, length or prompts) since this index was made with "
                "it; build the index anew"
            )
