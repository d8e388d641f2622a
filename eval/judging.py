"""Time to judge thirty queries: python eval/judging.py

Two models, MiniLM and MiniLM adapted to the sample's texts with their topics, are judged on the sample's queries. The
sample's own judgements stand in for the person: relevant texts are marked. Measured are the program's own time, and how
much there is to read and to press. The person's time is computed from these, with the mean silent reading rate of
English non-fiction (238 words a minute, Brysbaert, 2019) and the time of a keystroke by a person who is not a typist
(0.28 s, Card, Moran and Newell, 1980).
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from lib.arguments import parser
from lib.record import write_result

from simcse_kit import adapt, judge
from simcse_kit.data import LabelledTexts, sample_search_path
from simcse_kit.evaluation.judging import Question
from simcse_kit.evaluation.retrieval import load_retrieval
from simcse_kit.index.judging import JudgeKey

START = "all-MiniLM-L6-v2"
QUERIES = 30
WORDS_A_MINUTE, SECONDS_A_KEY = 238, 0.28


class Person:
    """Marks relevant texts according to the judgements, goes to the next query, and counts."""

    def __init__(self, relevant: dict[str, set[str]]) -> None:
        self.relevant = relevant
        self.hits = self.words = self.keys = self.queries = 0
        self.verdicts: list[str] = []
        self._seen = ""

    def __call__(self, question: Question) -> JudgeKey:
        if question.id != self._seen:
            if self.queries == QUERIES:
                return "quit"
            self._seen = question.id
            self.queries += 1
            self.hits += len(question.hits)
            self.words += sum(len(text.split()) for text in (question.query, *question.hits))
            self.verdicts.append(" ".join(question.verdict.lines()))
        self.keys += 1
        wanted = self.relevant[question.query]
        for place, text in enumerate(question.hits):
            if (text in wanted) != (place in question.relevant):
                return place
        return "next"


def main() -> None:
    """Adapt, judge, write."""
    parser(__doc__).parse_args()
    folder = sample_search_path()
    loaded = load_retrieval(folder)
    texts = list(loaded.corpus.values())
    matters = [name.rpartition("-")[0] for name in loaded.corpus]
    relevant = {
        loaded.queries[query]: {loaded.corpus[name] for name, score in found.items() if score > 0}
        for query, found in loaded.relevance.items()
    }
    with tempfile.TemporaryDirectory() as work:
        adapt(LabelledTexts(texts, matters, "sample"), START, Path(work) / "model")
        person, began = Person(relevant), time.perf_counter()
        verdict = judge(
            START, Path(work) / "model", texts, Path(work) / "judged", ask=person, queries=list(relevant), seed=1
        )
        seconds = time.perf_counter() - began
    reading = person.words / WORDS_A_MINUTE * 60
    result = {
        "queries": person.queries,
        "hits": person.hits,
        "words": person.words,
        "keys": person.keys,
        "program_seconds": round(seconds, 1),
        "reading_seconds": round(reading),
        "minutes": round((seconds + reading + person.keys * SECONDS_A_KEY) / 60, 1),
        "verdict": verdict.lines(),
    }
    write_result("judging", result)
    print(result)


if __name__ == "__main__":
    main()
