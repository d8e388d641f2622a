"""Reading SentEval's transfer tasks (Conneau & Kiela, 2018, "SentEval: An evaluation toolkit")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simcse_kit.errors import DataError
from simcse_kit.evaluation.lines import lines_of
from simcse_kit.evaluation.sts import senteval_root

TRANSFER_HELP = (
    "The folder must hold MR/, CR/, SUBJ/, MPQA/, SST/, TREC/ and MRPC/ (or a senteval/ with them) in the "
    "layout of SentEval's download script: "
    "https://github.com/princeton-nlp/SimCSE/blob/main/SentEval/data/downstream/download_dataset.sh"
)
BINARY = {
    "MR": ("rt-polarity.pos", "rt-polarity.neg"),
    "CR": ("custrev.pos", "custrev.neg"),
    "SUBJ": ("subj.objective", "subj.subjective"),
    "MPQA": ("mpqa.pos", "mpqa.neg"),
}
TASKS = ("MR", "CR", "SUBJ", "MPQA", "SST2", "TREC", "MRPC")  # in the order of the paper's table
_MRPC_COLUMNS = ("Quality", "#1 ID", "#2 ID", "#1 String", "#2 String")


@dataclass(frozen=True)
class Examples:
    """N labelled sentences, or pairs of sentences."""

    first: list[str]
    labels: NDArray[np.intp]  # (N,) class numbers
    second: list[str] | None = None

    def __len__(self) -> int:
        return len(self.first)


@dataclass(frozen=True)
class TransferTask:
    """Examples with SentEval's splits.

    ``train`` only: nested cross-validation. With ``test``: trained on all of ``train``; regularisation is selected on
    ``dev``, or without it by cross-validation.
    """

    name: str
    train: Examples
    dev: Examples | None = None
    test: Examples | None = None


def load_transfer(data_dir: str | Path, tasks: Sequence[str] = TASKS) -> list[TransferTask]:
    """The named tasks; `data_dir` holds `MR/` and the others, or a `senteval/` with them.

    Raises:
        DataError: a file is missing, or a line is not in SentEval's format (with file and line).
    """
    unknown = [name for name in tasks if name not in TASKS]
    if unknown or not tasks:
        raise DataError(f"transfer tasks must be among {', '.join(TASKS)}; got {', '.join(unknown) or 'none'}")
    root = senteval_root(data_dir)
    return [_load(root, name) for name in tasks]


def _load(root: Path, name: str) -> TransferTask:
    if name in BINARY:
        positive, negative = (_sentences(root / name / file) for file in BINARY[name])
        labels = np.repeat([1, 0], [len(positive), len(negative)])
        return TransferTask(name, Examples(positive + negative, labels))
    if name == "SST2":
        train, dev, test = (_sst(root / "SST" / "binary" / f"sentiment-{split}") for split in ("train", "dev", "test"))
        return TransferTask(name, train, dev, test)
    if name == "TREC":
        classes: dict[str, int] = {}
        questions = [_trec(root / "TREC" / file, classes) for file in ("train_5500.label", "TREC_10.label")]
        return TransferTask(name, questions[0], test=questions[1])
    pairs = [_mrpc(root / "MRPC" / f"msr_paraphrase_{split}.txt") for split in ("train", "test")]
    return TransferTask(name, pairs[0], test=pairs[1])


def _sentences(path: Path) -> list[str]:
    lines = [line.strip() for line in _lines(path)]
    if not any(lines):
        raise DataError(f"{path} contains no sentences")
    return [line or "." for line in lines]  # SentEval's replacement for an empty line; CR and MPQA have some


def _sst(path: Path) -> Examples:
    sentences, labels = [], []
    for number, line in enumerate(_lines(path), start=1):
        sentence, _, label = line.rpartition("\t")
        if label.strip() not in ("0", "1") or not sentence.strip():
            raise DataError(f"{path}, line {number}: expected a sentence, a tab and 0 or 1; got {line!r:.200}")
        sentences.append(sentence.strip())
        labels.append(int(label))
    return Examples(sentences, np.array(labels, dtype=np.intp))


def _trec(path: Path, classes: dict[str, int]) -> Examples:
    sentences, labels = [], []
    for number, line in enumerate(_lines(path), start=1):
        label, _, sentence = line.strip().partition(" ")
        coarse, colon, _ = label.partition(":")
        if not colon or not sentence:
            raise DataError(
                f"{path}, line {number}: expected a label such as NUM:date and a question; got {line!r:.200}"
            )
        sentences.append(sentence)
        labels.append(classes.setdefault(coarse, len(classes)))
    return Examples(sentences, np.array(labels, dtype=np.intp))


def _mrpc(path: Path) -> Examples:
    lines = _lines(path)
    first, second, labels = [], [], []
    if not lines or tuple(lines[0].split("\t")) != _MRPC_COLUMNS:
        raise DataError(f"{path}, line 1: expected the columns {', '.join(_MRPC_COLUMNS)}; got {lines[:1]!r:.200}")
    for number, line in enumerate(lines[1:], start=2):
        cells = line.split("\t")
        if len(cells) != len(_MRPC_COLUMNS) or cells[0] not in ("0", "1"):
            raise DataError(f"{path}, line {number}: expected 0 or 1, two ids and two sentences; got {line!r:.200}")
        labels.append(int(cells[0]))
        first.append(cells[3].strip())
        second.append(cells[4].strip())
    return Examples(first, np.array(labels, dtype=np.intp), second)


def _lines(path: Path) -> list[str]:
    return lines_of(path, TRANSFER_HELP, otherwise="latin-1")  # encoding of some of these files
