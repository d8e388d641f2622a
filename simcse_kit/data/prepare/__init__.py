"""Raw material to training data: documents to sentences, NLI to triplets."""

from simcse_kit.data.prepare.corpus import SentenceCounts, prepare_sentences
from simcse_kit.data.prepare.nli import TripletCounts, prepare_nli

__all__ = ["SentenceCounts", "TripletCounts", "prepare_nli", "prepare_sentences"]
