"""Judges without end, until it is killed: judge_and_die.py FOLDER

It marks three hits of each query and prints a line for everything that is saved, with tabs between: asked QUERY, marked
QUERY TEXT, closed QUERY.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

from simcse_kit.evaluation.judgements import JudgedSystems, System, digest_of, open_judgements, text_id
from simcse_kit.evaluation.judging import Judging

TEXTS = [f"text {i}" for i in range(12)]
CORPUS = {text_id(text): text for text in TEXTS}


def say(*words: str) -> None:
    print("\t".join(words), flush=True)


def main() -> None:
    about = JudgedSystems(
        systems=(System("A", "a"), System("B", "b")), hits=5, texts=len(CORPUS), digest=digest_of(CORPUS), seed=0
    )

    def search(query: str, k: int) -> Sequence[str]:
        return TEXTS[:k]

    def turned(query: str, k: int) -> Sequence[str]:
        return TEXTS[::-1][:k]

    queries = (f"query {number}" for number in itertools.count())
    with open_judgements(Path(sys.argv[1]), about, CORPUS) as folder:
        judging = Judging(folder, CORPUS, (search, turned), queries)
        while (question := judging.question()) is not None:
            say("asked", question.query, "")
            free = [place for place in range(len(question.hits)) if place not in question.relevant]
            for place in free[: 3 - len(question.relevant)]:
                judging.mark(place)
                say("marked", question.query, question.hits[place])
            judging.close()
            say("closed", question.query, "")


if __name__ == "__main__":
    main()
