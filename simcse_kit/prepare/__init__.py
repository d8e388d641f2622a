"""Raw material to training data: documents to sentences, NLI to triplets, pairs to pairs with hard negatives."""

from simcse_kit.prepare.corpus import SentenceCounts, sentences
from simcse_kit.prepare.negatives import NegativeCounts, hard_negatives
from simcse_kit.prepare.nli import TripletCounts, nli_triplets

__all__ = ["NegativeCounts", "SentenceCounts", "TripletCounts", "hard_negatives", "nli_triplets", "sentences"]
