"""Files, data sets and sequences to sentences, training examples and scored pairs."""

from simcse_kit.data.labelled import LabelledTexts, read_labelled
from simcse_kit.data.positives import read_positives
from simcse_kit.data.rows import BadRow
from simcse_kit.data.sample import sample_pairs_path, sample_search_path, sample_sentences_path
from simcse_kit.data.scored import read_scored_pairs
from simcse_kit.data.text import TextData, read_examples, read_sentences

__all__ = [
    "BadRow",
    "LabelledTexts",
    "TextData",
    "read_examples",
    "read_labelled",
    "read_positives",
    "read_scored_pairs",
    "read_sentences",
    "sample_pairs_path",
    "sample_search_path",
    "sample_sentences_path",
]
