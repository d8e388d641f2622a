"""Files and models that the guides take as given, made from the package's sample and small models."""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from simcse_kit.data import read_scored_pairs, sample_pairs_path, sample_search_path
from support.original import write_original
from support.senteval import write_senteval
from support.tiny import SENTENCES, make_model

ROWS = 120  # of a file whose number of rows the guide does not give
_REPORTED = 400  # messages used by reports


def give(name: str, folder: Path, rows: int | None, model: Path) -> None:
    """Make the files that a guide names in a folder; ``model`` is copied where a model is named."""
    place = folder / name
    place.parent.mkdir(parents=True, exist_ok=True)
    if name in _MODELS:
        shutil.copytree(model, place)
    else:
        _FILES[name](place, rows or ROWS)


def _messages(count: int) -> list[dict[str, str]]:
    """Messages of the sample, from all desks alike: id, text, desk."""
    corpus = (sample_search_path() / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    found = [json.loads(line) for line in corpus]
    count = min(count, len(found))
    chosen = [found[len(found) * number // count] for number in range(count)]
    return [{"id": one["_id"], "text": one["text"], "desk": one["_id"].partition("-")[0]} for one in chosen]


def _table(place: Path, columns: list[str], rows: Iterable[list[object]]) -> None:
    with place.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t" if place.suffix == ".tsv" else ",", lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _tickets_txt(place: Path, rows: int) -> None:
    place.write_text("".join(f"{one['text']}\n" for one in _messages(rows)), encoding="utf-8")


def _tickets_csv(place: Path, rows: int) -> None:
    _table(place, ["id", "text", "desk"], (list(one.values()) for one in _messages(rows)))


def _documents(place: Path, rows: int) -> None:
    place.mkdir()
    texts = [one["text"] for one in _messages(rows)]
    for number in range(0, len(texts), 10):
        text = "\n\n".join(" ".join(texts[start : start + 5]) for start in (number, number + 5))
        (place / f"{number // 10:03d}.txt").write_text(f"{text}\n", encoding="utf-8")


def _reports(place: Path, rows: int) -> None:
    """Texts that are longer than models read: all that one desk was asked."""
    texts: dict[str, list[str]] = {}
    for one in _messages(_REPORTED):
        texts.setdefault(one["desk"], []).append(one["text"])
    _table(place, ["id", "text"], ([desk, " ".join(own)] for desk, own in list(texts.items())[:rows]))


def _pairs(place: Path, rows: int) -> None:
    pairs = read_scored_pairs(sample_pairs_path())
    columns = zip(pairs.first, pairs.second, pairs.gold, strict=True)
    _table(
        place, ["sentence1", "sentence2", "score"], (list(row) for row, _ in zip(columns, range(rows), strict=False))
    )


def _triplets(place: Path, rows: int) -> None:
    numbers = range(min(rows, len(SENTENCES) // 2))
    lines = ([SENTENCES[2 * n], SENTENCES[2 * n + 1], SENTENCES[(2 * n + 7) % len(SENTENCES)]] for n in numbers)
    _table(place, ["sent0", "sent1", "hard_neg"], lines)


def _questions(place: Path, rows: int) -> None:
    numbers = range(min(rows, len(SENTENCES) // 2))
    _table(place, ["question1", "question2"], ([SENTENCES[2 * n], SENTENCES[2 * n + 1]] for n in numbers))


def _duplicates(place: Path, rows: int) -> None:
    """As the question pairs of Quora come: those that match have the label 1."""
    numbers = range(min(rows, len(SENTENCES)) // 2)
    lines = [[SENTENCES[2 * n], SENTENCES[2 * n + 1], 1] for n in numbers]
    lines += [[SENTENCES[2 * n], SENTENCES[(2 * n + 7) % len(SENTENCES)], 0] for n in numbers]
    _table(place, ["question1", "question2", "is_duplicate"], lines)


def _nli(place: Path, rows: int) -> None:
    """As SNLI and MultiNLI come."""
    lines = []
    for number in range(min(rows, len(SENTENCES) // 2)):
        for label, shift in (("entailment", 1), ("contradiction", 6), ("neutral", 11)):
            second = SENTENCES[(2 * number + shift) % len(SENTENCES)]
            lines.append({"gold_label": label, "sentence1": SENTENCES[2 * number], "sentence2": second})
    place.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def _judged(place: Path, rows: int) -> None:
    shutil.copytree(sample_search_path(), place)


def _senteval(place: Path, rows: int) -> None:
    write_senteval(place)


def _checkpoint(place: Path, rows: int) -> None:
    """As the original project's train.py leaves it."""
    with tempfile.TemporaryDirectory() as folder:
        write_original(make_model("bert", Path(folder) / "bert"), place, "bert", file="pytorch_model.bin")


_MODELS = ("my-model", "other-model", "my-encoder")
_FILES: dict[str, Callable[[Path, int], None]] = {
    "tickets.txt": _tickets_txt,
    "tickets.csv": _tickets_csv,
    "tickets": _documents,
    "reports.csv": _reports,
    "dev.csv": _pairs,
    "pairs.csv": _pairs,
    "scored.tsv": _pairs,
    "nli.csv": _triplets,
    "triplets.csv": _triplets,
    "questions.csv": _questions,
    "duplicates.csv": _duplicates,
    "snli_1.0_train.jsonl": _nli,
    "multinli_1.0_train.jsonl": _nli,
    "judged": _judged,
    "data/senteval": _senteval,
    "SentEval/data/downstream": _senteval,
    "data/wiki1m_for_simcse.txt": _tickets_txt,
    "data/nli_for_simcse.csv": _triplets,
    "result/my-old-model": _checkpoint,
}
