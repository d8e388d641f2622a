"""Models of a server by name, each loaded once. The new model of a rebuilt index replaces the old one."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping

from simcse_kit.model import SimCSE
from simcse_kit.serving.engines import ModelEngine, target_name
from simcse_kit.serving.metrics import Metrics
from simcse_kit.serving.settings import Limits


class ModelEngines:
    """Engines shared by requests and indexes."""

    def __init__(self, models: Mapping[str, SimCSE], limits: Limits, metrics: Metrics) -> None:
        """``models`` keep their names permanently; two names of one model share an engine."""
        self._limits, self._metrics = limits, metrics
        self._lock = threading.Lock()
        self._users: Counter[ModelEngine] = Counter()  # users of each engine: indexes, and names given by the user
        now: dict[str, ModelEngine] = {}
        for name, model in models.items():
            now[name] = _of(model, now) or self._new(name, model)
            self._users[now[name]] += 1
        self.now: Mapping[str, ModelEngine] = now  # by name; replaced as a whole

    async def warm_up(self) -> None:
        """Make the first request to each as fast as later ones. Raises a `ServeError` if a model cannot encode."""
        for engine in dict.fromkeys(self.now.values()):
            await engine.warm_up()

    def of(self, model: SimCSE) -> ModelEngine:
        """The engine of an index's model."""
        with self._lock:
            return self._used(model, self.now)

    def exchange(self, before: ModelEngine, model: SimCSE) -> ModelEngine:
        """The engine of an index that now has another model; the old one is removed if nothing else uses it."""
        with self._lock:
            self._users[before] -= 1
            kept = {name: engine for name, engine in self.now.items() if self._users[engine]}
            return self._used(model, kept)

    def close_unused(self, engine: ModelEngine) -> None:
        """Finish waiting requests of an engine that is no longer used."""
        if not self._users[engine]:
            engine.close()
            del self._users[engine]

    def _used(self, model: SimCSE, others: Mapping[str, ModelEngine]) -> ModelEngine:
        """The engine of a model, one of ``others`` or a new one; counts one more user."""
        engine = _of(model, others)
        if engine is None:
            name, number = target_name(model.name), 2
            while name in others:
                name, number = f"{target_name(model.name)}-{number}", number + 1
            engine = self._new(name, model)
            others = {**others, name: engine}
        self._users[engine] += 1
        self.now = others
        return engine

    def _new(self, name: str, model: SimCSE) -> ModelEngine:
        return ModelEngine(name, model, self._limits, self._metrics)

    def close(self) -> None:
        """Finish waiting requests."""
        for engine in set(self.now.values()):
            engine.close()


def _of(model: SimCSE, engines: Mapping[str, ModelEngine]) -> ModelEngine | None:
    return next((engine for engine in engines.values() if engine.model is model), None)
