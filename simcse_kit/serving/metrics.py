"""Metrics for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Metrics of one server; a process may hold several servers."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "simcse_kit_requests", "Requests answered.", ["path", "method", "status"], registry=registry
        )
        self.seconds = Histogram(
            "simcse_kit_request_seconds",
            "From a request's first byte to its answer.",
            ["path"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.sentences = Counter("simcse_kit_sentences", "Sentences encoded.", ["model"], registry=registry)
        self.truncated = Counter(
            "simcse_kit_truncated_sentences", "Sentences longer than the model's limit.", ["model"], registry=registry
        )
        self.batch_size = Histogram(
            "simcse_kit_batch_size", "Sentences in one batch.", ["model"], buckets=_SIZES, registry=registry
        )
        self.waiting = Gauge("simcse_kit_waiting_sentences", "Waiting sentences.", ["model"], registry=registry)
        self.rows = Gauge("simcse_kit_index_rows", "Sentences in an index.", ["index"], registry=registry)

    def text(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self._registry)
