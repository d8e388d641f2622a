"""Reading the seven STS tasks in SentEval's layout, and KorSTS."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from simcse_kit.data import read_scored_pairs
from simcse_kit.data.scored import SICK, KnownLayout
from simcse_kit.errors import DataError
from simcse_kit.evaluation.lines import lines_of, need
from simcse_kit.evaluation.tasks import ScoredTask, Subset
from simcse_kit.types import ScoredPairs

# Subsets as in SimCSE: STS13 without SMT, which is not freely available.
SUBSETS = {
    "STS12": ("MSRpar", "MSRvid", "SMTeuroparl", "surprise.OnWN", "surprise.SMTnews"),
    "STS13": ("FNWN", "headlines", "OnWN"),
    "STS14": ("deft-forum", "deft-news", "headlines", "images", "OnWN", "tweet-news"),
    "STS15": ("answers-forums", "answers-students", "belief", "headlines", "images"),
    "STS16": ("answer-answer", "headlines", "plagiarism", "postediting", "question-question"),
}
TOP = 5.0  # top of the gold scale of every set here
SPLITS = ("train", "dev", "test")

KLUE_STS = "hf:klue/klue#sts:validation"
KLUE_COLUMNS = ("sentence1", "sentence2", "labels.label")  # scores from 0 to 5, means of seven judges

STS_HELP = (
    "The folder must hold STS/ and SICK/ (or a senteval/ with both) in the layout of SentEval's download "
    "script: https://github.com/princeton-nlp/SimCSE/blob/main/SentEval/data/downstream/download_dataset.sh. "
    "`simcse-kit eval --download` fetches the same files"
)
KORSTS_HELP = (
    "The folder must hold korsts/ with sts-train.tsv, sts-dev.tsv and sts-test.tsv: "
    "https://github.com/kakaobrain/kor-nlu-datasets, folder KorSTS"
)


def load_sts(data_dir: str | Path) -> list[ScoredTask]:
    """The seven tasks STS12-16, STSBenchmark (test) and SICKRelatedness (test) with their subsets, in this order.

    `data_dir` holds `STS/` and `SICK/`, or a `senteval/` with both. Raises a `DataError` for a missing file or unequal
    line counts.
    """
    root = senteval_root(data_dir)
    tasks = [
        ScoredTask(year, tuple(Subset(name, _read_subset(root / "STS" / f"{year}-en-test", name)) for name in names))
        for year, names in SUBSETS.items()
    ]
    benchmark = read_existing(_benchmark(root, "test"), STS_HELP)
    sick = read_existing(root / "SICK" / "SICK_test_annotated.txt", STS_HELP, known=SICK)
    tasks.append(ScoredTask("STSBenchmark", (Subset("test", benchmark),)))
    tasks.append(ScoredTask("SICKRelatedness", (Subset("test", sick),)))
    return tasks


def load_sts_benchmark(data_dir: str | Path) -> list[ScoredPairs]:
    """STS-B train, dev and test, for alignment and uniformity."""
    root = senteval_root(data_dir)
    return [read_existing(_benchmark(root, split), STS_HELP) for split in SPLITS]


def load_korsts(data_dir: str | Path) -> list[ScoredPairs]:
    """KorSTS train, dev and test; `data_dir` holds `korsts/`, or the files themselves."""
    folder = Path(data_dir)
    if not (folder / "sts-test.tsv").is_file():
        folder = folder / "korsts"
    return [read_existing(folder / f"sts-{split}.tsv", KORSTS_HELP) for split in SPLITS]


def load_klue_sts(source: str | Path = KLUE_STS) -> ScoredPairs:
    """KLUE-STS with `datasets` (the validation set; the test set is not public), or a copy with the same columns."""
    text = str(source)
    if Path(text).is_dir():
        text = f"hf:{text}:validation"
    return read_scored_pairs(text, columns=KLUE_COLUMNS)


def senteval_root(data_dir: str | Path) -> Path:
    """The folder that holds `STS/`: `data_dir` itself or its `senteval/`."""
    folder = Path(data_dir)
    if folder.is_file():
        raise DataError(f"{folder} is a file; to measure a file of scored pairs, use the suite pairs (--suite pairs)")
    nested = folder / "senteval"
    return nested if nested.is_dir() and not (folder / "STS").is_dir() else folder


def read_existing(path: Path, help_text: str, *, known: KnownLayout | None = None) -> ScoredPairs:
    """The scored pairs of a file, of a ``known`` data set or another; an error says how to get a missing one."""
    need(path, help_text)
    pairs = read_scored_pairs(path, known=known)
    outside = np.flatnonzero((pairs.gold < 0) | (pairs.gold > TOP))
    if len(outside):
        i = int(outside[0])
        raise DataError(
            f"{path}: gold scores must be from 0 to {TOP:g}; {pairs.first[i]!r:.100} and "
            f"{pairs.second[i]!r:.100} have {pairs.gold[i]:g}"
        )
    return pairs


def _benchmark(root: Path, split: str) -> Path:
    return root / "STS" / "STSBenchmark" / f"sts-{split}.csv"


def _read_subset(folder: Path, name: str) -> ScoredPairs:
    inputs, golds = folder / f"STS.input.{name}.txt", folder / f"STS.gs.{name}.txt"
    sentences, scores = lines_of(inputs, STS_HELP), lines_of(golds, STS_HELP)
    if len(sentences) != len(scores):
        raise DataError(
            f"{inputs} has {len(sentences)} lines, but {golds} has {len(scores)}: each line needs its score"
        )
    first: list[str] = []
    second: list[str] = []
    gold: list[float] = []
    for number, (pair, score) in enumerate(zip(sentences, scores, strict=True), start=1):
        if not score.strip():
            continue  # the organisers did not score this pair
        parts = pair.split("\t")
        if len(parts) != 2:
            raise DataError(f"{inputs}, line {number}: expected two sentences separated by a tab; got {pair!r}")
        try:
            value = float(score)
        except ValueError:
            raise DataError(f"{golds}, line {number}: expected a number or nothing; got {score!r}") from None
        if not 0 <= value <= TOP:
            raise DataError(f"{golds}, line {number}: expected a score from 0 to {TOP:g}; got {score!r}")
        gold.append(value)
        first.append(parts[0])
        second.append(parts[1])
    return ScoredPairs(first, second, np.array(gold, dtype=np.float64), str(inputs), len(scores) - len(gold))
