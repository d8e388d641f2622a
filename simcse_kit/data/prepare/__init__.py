"""Raw material to training data: documents to sentences, NLI to triplets."""

from simcse_kit.data.prepare.corpus import SentenceCounts, sentences
from simcse_kit.data.prepare.nli import TripletCounts, nli_triplets

__all__ = ["SentenceCounts", "TripletCounts", "nli_triplets", "sentences"]
