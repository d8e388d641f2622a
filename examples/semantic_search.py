"""Build an index of sentences, add to it, save it, open it and search it."""

import tempfile
from pathlib import Path

from simcse_kit import SentenceIndex
from simcse_kit.data import read_sentences, sample_sentences_path


def main() -> None:
    sentences = read_sentences(sample_sentences_path()).column(0)
    folder = Path(tempfile.mkdtemp()) / "index"

    index = SentenceIndex.build("all-MiniLM-L6-v2", sentences)
    index.add(["The penguin learned to open the fridge."])  # in memory
    index.save(folder)  # on disk, in one atomic step

    index = SentenceIndex.open(folder)  # loads the model that built it
    for query in ["my plants are dying", "animals in the kitchen"]:
        print(query)
        for hit in index.search(query, k=3, threshold=0.2):
            print(f"  {hit.score:.3f}  {hit.id:>4}  {hit.text}")


if __name__ == "__main__":
    main()
