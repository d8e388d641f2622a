"""What one server serves, and the checks that all its routes share."""

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
    """Models and indexes by name, in the order in which they were given."""

    engines: ModelEngines
    indexes: Mapping[str, IndexEngine]
    limits: Limits
    metrics: Metrics
    can_judge: bool = False  # whether hits are judged
    page: PageSettings = field(default_factory=PageSettings)
    strict_dimensions: bool = False  # vectors of a model that is not known to be Matryoshka are not cut

    @property
    def alive(self) -> bool:
        """Whether every worker runs."""
        return all(model.alive for model in self.models.values()) and all(
            index.alive for index in self.indexes.values()
        )

    @property
    def models(self) -> Mapping[str, ModelEngine]:
        """The models that are served now."""
        return self.engines.now

    def without_paths(self, text: str) -> str:
        """A text in which folders of this server have the names that clients know."""
        names = {str(engine.index.folder): name for name, engine in self.indexes.items()}
        names |= {engine.model.name: name for name, engine in self.models.items()}
        for folder in sorted((name for name in names if os.sep in name), key=len, reverse=True):
            text = text.replace(folder, names[folder])
        return text

    def model(self, name: str | None) -> ModelEngine:
        """A model by name; None is the first."""
        found: ModelEngine = _named(self.models, name, "model", "model_not_found")
        return found

    def index(self, name: str | None) -> IndexEngine:
        """An index by name; None is the first."""
        if not self.indexes:
            raise ApiError(404, "this server has no index; start it with one: simcse-kit serve INDEX")
        found: IndexEngine = _named(self.indexes, name, "index", "index_not_found")
        return found

    def writable_index(self, name: str | None) -> IndexEngine:
        """An index that may be changed, by name; None is the first."""
        engine = self.index(name)
        if not engine.writable:
            raise ApiError(403, f"the index {engine.name} is for reading; start with --writable, without --judge")
        return engine

    def texts(self, given: str | Sequence[str], what: str) -> list[str]:
        """The texts of a request as a list; too many, too long or empty ones are an error."""
        texts = [given] if isinstance(given, str) else list(given)
        if len(texts) > self.limits.sentences:
            raise ApiError(
                422, f"{what}: {len(texts)} texts; one request takes at most {self.limits.sentences}, send several"
            )
        for number, text in enumerate(texts):
            if is_blank(text):
                raise ApiError(422, f"{what}: text number {number} is empty")
            if len(text) > self.limits.characters:
                raise ApiError(
                    422,
                    f"{what}: text number {number} has {len(text)} characters; at most {self.limits.characters} are "
                    "read, cut it into passages",
                )
        return texts

    def width(self, engine: ModelEngine, dimensions: int | None) -> int:
        """How many numbers of each vector are given."""
        if dimensions is None or dimensions == engine.width:
            return engine.width
        if dimensions > engine.width:
            raise ApiError(422, f"dimensions: {engine.name} gives vectors of {engine.width}; got {dimensions}")
        if not engine.is_matryoshka and self.strict_dimensions:
            raise ApiError(
                422,
                f"dimensions: {engine.name} is not known to be trained for fewer dimensions (Matryoshka), and this "
                f"server cuts only such models (--strict-dimensions); leave dimensions out, for {engine.width}",
            )
        return dimensions

    def hits(self, k: int, queries: int = 1) -> int:
        """Hits for each query: ``k``, if that many may be asked for."""
        if k > self.limits.k:
            raise ApiError(422, f"k: at most {self.limits.k}; got {k}")
        if k * queries > self.limits.hits:
            raise ApiError(
                422,
                f"queries: {queries} times k = {k} are {k * queries} hits; one request gets at most "
                f"{self.limits.hits}, send several",
            )
        return k

    def check_answer(self, size: int) -> None:
        """Refuse an answer of more bytes than a request gets."""
        if size > self.limits.answer_bytes:
            raise ApiError(
                422,
                f"the answer is larger than the {self.limits.answer_bytes} bytes that one request gets; ask for fewer "
                "hits, or send several requests",
            )

    def check_cosines(self, rows: int, columns: int) -> None:
        """Refuse more pairs of texts than one request may compare."""
        if rows * columns > self.limits.cosines:
            raise ApiError(
                422,
                f"sentences: {rows} times {columns} are {rows * columns} cosines; one request gets at most "
                f"{self.limits.cosines}, send several",
            )


def _named(things: Mapping[str, Any], name: str | None, what: str, code: str) -> Any:
    if name is None:
        return next(iter(things.values()))
    if name not in things:
        raise ApiError(404, f"there is no {what} {name!r}; this server has {', '.join(map(repr, things))}", code)
    return things[name]
