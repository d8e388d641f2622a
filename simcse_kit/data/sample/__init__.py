"""The few rows of text that come with the package, to try it without any download."""

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


def _sample(name: str) -> Path:
    return Path(str(resources.files("simcse_kit") / "data" / "sample" / name))
