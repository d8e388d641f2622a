"""What one server serves, and the checks that all routes share."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from simcse_kit.data.rows import is_blank
from simcse_kit.serving.engines import ModelEngine
from simcse_kit.serving.errors import ApiError
from simcse_kit.serving.indexes import IndexEngine
from simcse_kit.serving.metrics import Metrics
from simcse_kit.serving.models import ModelEngines
from simcse_kit.serving.settings import Limits, PageSettings


@dataclass(frozen=True)
class ServerState:
    """Models and indexes by name, in the order given."""

    engines: ModelEngines
    indexes: Mapping[str, IndexEngine]
    limits: Limits
    metrics: Metrics
    can_judge: bool = False  # whether the page judges hits
    page: PageSettings = field(default_factory=PageSettings)
    strict_dimensions: bool = False  # do not cut vectors of a model that is not known to be Matryoshka

    @property
    def alive(self) -> bool:
        """Whether every worker runs."""
        return all(model.alive for model in self.models.values()) and all(
            index.alive for index in self.indexes.values()
        )

    @property
    def models(self) -> Mapping[str, ModelEngine]:
        """The models now served."""
        return self.engines.now

    def without_paths(self, text: str) -> str:
        """A text in which folders of this server are replaced by their public names."""
        names = {str(engine.index.folder): name for name, engine in self.indexes.items()}
        names |= {engine.model.name: name for name, engine in self.models.items()}
        for folder in sorted((name for name in names if os.sep in name), key=len, reverse=True):
            text = text.replace(folder, names[folder])
        return text

    def model(self, name: str | None) -> ModelEngine:
        """A model by name; None: the first."""
        found: ModelEngine = _named(self.models, name, "model", "model_not_found")
        return found

    def index(self, name: str | None) -> IndexEngine:
        """An index by name; None: the first."""
        if not self.indexes:
            raise ApiError(404, "this server has no index; start it with one: simcse-kit serve INDEX")
        found: IndexEngine = _named(self.indexes, name, "index", "index_not_found")
        return found

    def writable_index(self, name: str | None) -> IndexEngine:
        """A writable index by name; None: the first."""
        engine = self.index(name)
        if not engine.writable:
            raise ApiError(
                403, f"the index {engine.name} is read-only; start the server with --writable and without --judge"
            )
        return engine

    def texts(self, given: str | Sequence[str], what: str) -> list[str]:
        """The texts of a request as a list. Raises an error if there are too many, or one is too long or empty."""
        texts = [given] if isinstance(given, str) else list(given)
        if len(texts) > self.limits.sentences:
            raise ApiError(
                422, f"{what}: {len(texts)} texts; the limit is {self.limits.sentences} per request, send several"
            )
        for number, text in enumerate(texts):
            if is_blank(text):
                raise ApiError(422, f"{what}: text number {number} is empty")
            if len(text) > self.limits.characters:
                raise ApiError(
                    422,
                    f"{what}: text number {number} has {len(text)} characters; the limit is "
                    f"{self.limits.characters}, split it into passages",
                )
        return texts

    def width(self, engine: ModelEngine, dimensions: int | None) -> int:
        """The dimension of the vectors to return."""
        if dimensions is None or dimensions == engine.width:
            return engine.width
        if dimensions > engine.width:
            raise ApiError(
                422, f"dimensions: the vectors of {engine.name} have {engine.width} dimensions; got {dimensions}"
            )
        if not engine.is_matryoshka and self.strict_dimensions:
            raise ApiError(
                422,
                f"dimensions: {engine.name} is not known to be trained for fewer dimensions (Matryoshka), and "
                "this server does not cut such vectors (--strict-dimensions); leave out dimensions to get "
                f"{engine.width}",
            )
        return dimensions

    def hits(self, k: int, queries: int = 1) -> int:
        """Hits per query: ``k``, if it is within the limits."""
        if k > self.limits.k:
            raise ApiError(422, f"k: at most {self.limits.k}; got {k}")
        if k * queries > self.limits.hits:
            raise ApiError(
                422,
                f"queries: {queries} times k = {k} are {k * queries} hits; the limit is {self.limits.hits} per "
                "request, send several",
            )
        return k

    def check_answer(self, size: int) -> None:
        """Raise an error if an answer exceeds the limit of bytes."""
        if size > self.limits.answer_bytes:
            raise ApiError(
                422,
                f"the answer exceeds the limit of {self.limits.answer_bytes} bytes per request; ask for fewer "
                "hits, or send several requests",
            )

    def check_cosines(self, rows: int, columns: int) -> None:
        """Raise an error if a request compares too many pairs of texts."""
        if rows * columns > self.limits.cosines:
            raise ApiError(
                422,
                f"sentences: {rows} times {columns} are {rows * columns} cosines; the limit is "
                f"{self.limits.cosines} per request, send several",
            )


def _named(things: Mapping[str, Any], name: str | None, what: str, code: str) -> Any:
    if name is None:
        return next(iter(things.values()))
    if name not in things:
        raise ApiError(404, f"there is no {what} {name!r}; this server has {', '.join(map(repr, things))}", code)
    return things[name]
