"""Sample texts in the package, to try it without a download."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def sample_sentences_path() -> Path:
    """A `.txt` file of sentences for `read_sentences`."""
    return _sample("sentences.txt")


def sample_sentences() -> list[str]:
    """The sentences themselves."""
    return sample_sentences_path().read_text(encoding="utf-8").splitlines()


def sample_pairs_path() -> Path:
    """A `.tsv` file of scored pairs for `read_scored_pairs`."""
    return _sample("pairs.tsv")


def sample_search_path() -> Path:
    """A folder in BEIR's layout for `evaluate_retrieval`: short messages to ten service desks, and judged queries.

    The desks (a bank, a library, a town hall, ...) share words that mean different things: card, charge, branch, order.
    An id names desk and topic: ``bank-lost-card-03``. A message is relevant to a query if it has the topic of the
    query; the only score is 1. `read_sentences` also reads ``corpus.jsonl``.
    """
    return _sample("search")


def _sample(name: str) -> Path:
    return Path(str(resources.files("simcse_kit") / "data" / "sample" / name))
