"""The main job in one call: train on a sample, measure before and after, index, search, report."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from simcse_kit.data import TextData, read_scored_pairs, read_sentences, sample_pairs_path, sample_sentences_path
from simcse_kit.encoder.known import require_minilm
from simcse_kit.errors import TrainingError
from simcse_kit.evaluation import SuiteResult, cosine_pairs, evaluate_pairs
from simcse_kit.index.sentence_index import SentenceIndex
from simcse_kit.model import SimCSE
from simcse_kit.report import (
    Curve,
    Figure,
    GeometryPath,
    Page,
    Section,
    Table,
    geometry_plane,
    similarity_by_gold,
    training_curves,
    write_page,
)
from simcse_kit.report.gather import read_log
from simcse_kit.search import Hit
from simcse_kit.training.events import TrainListener, TrainResult
from simcse_kit.training.run import train_unsup
from simcse_kit.types import ScoredPairs

POOLING = "cls_before_pooler"
SAMPLE_QUERIES = (
    "my phone's battery keeps dying",
    "the train did not arrive on time",
    "the weather is far too hot",
)
_TRAIN_AT_MOST = 1500  # sentences: about two minutes on two cores
_INDEX_AT_MOST = 5000
_FEWEST = 20
_MARKER = "quickstart.json"


@dataclass(frozen=True, kw_only=True)
class QuickstartResult:
    """What `quickstart` made and measured."""

    folder: Path
    model: Path
    index: Path
    report: Path
    before: SuiteResult  # the start model on the sample's pairs
    after: SuiteResult
    training: TrainResult
    sentences: int  # distinct ones in the file
    trained_on: int
    indexed: int
    answers: dict[str, list[Hit]]


def quickstart(
    sentences: str | Path | None = None,
    output_dir: str | Path = "simcse-kit-quickstart",
    *,
    overwrite: bool = False,
    listener: TrainListener | None = None,
) -> QuickstartResult:
    """Train the CLS vector of the packaged MiniLM on a sample, offline, and show what that does.

    Args:
        sentences: a file of one's own (see `simcse_kit.train_unsup`); None is the package's sample. Of a large file,
            a random part is used, so that it stays a matter of minutes.
        output_dir: gets ``model/``, ``index/`` and ``report.html``.
        overwrite: replace what an earlier quickstart left there.
        listener: gets the events of the training run.

    The scores are on the package's 120 self-graded pairs, which also choose the best checkpoint.
    """
    folder = Path(output_dir)
    _check_folder(folder, overwrite)
    name = require_minilm()
    data = read_sentences(sentences if sentences is not None else sample_sentences_path())
    if sentences is None:
        data = replace(data, source="the package's sample")
    distinct = list(dict.fromkeys(data.column(0)))
    if len(distinct) < _FEWEST:
        raise TrainingError(
            f"{data.source} holds {len(distinct)} distinct sentences; quickstart needs {_FEWEST} or more"
        )
    pairs = read_scored_pairs(sample_pairs_path())
    chosen = random.Random(0).sample(distinct, min(_INDEX_AT_MOST, len(distinct)))
    training = chosen[:_TRAIN_AT_MOST]

    start = SimCSE(name, pooling=POOLING)
    before, cosines_before = _measure(start, pairs)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARKER).write_text(json.dumps({"made_by": "simcse-kit quickstart"}) + "\n", encoding="utf-8")
    batch_size = min(64, max(2, len(training) // 4))
    steps = 2 * -(-len(training) // batch_size)
    result = train_unsup(
        training,
        folder / "model",
        model=name,
        pooling=POOLING,
        eval_data=pairs._replace(source="the package's self-graded sample"),
        epochs=2,
        batch_size=batch_size,
        learning_rate=1e-4,  # few steps: faster than the paper's 3e-5 over 15,000
        eval_steps=max(1, steps // 5),
        overwrite=overwrite,
        listener=listener,
    )
    model = SimCSE(folder / "model")
    after, cosines_after = _measure(model, pairs)
    index = SentenceIndex.build(model, chosen, show_progress_bar=len(chosen) > 500)
    index.save(folder / "index")
    answers = _answers(index, SAMPLE_QUERIES if sentences is None else random.Random(1).sample(chosen, 3))
    made = QuickstartResult(
        folder=folder,
        model=folder / "model",
        index=folder / "index",
        report=folder / "report.html",
        before=before,
        after=after,
        training=result,
        sentences=len(distinct),
        trained_on=len(training),
        indexed=len(chosen),
        answers=answers,
    )
    _report(made, data, pairs, cosines_before, cosines_after)
    return made


def _check_folder(folder: Path, overwrite: bool) -> None:
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / _MARKER).is_file():
            raise TrainingError(
                f"{folder} is not empty and not from an earlier quickstart; choose another --output-dir"
            )
        if not overwrite:
            raise TrainingError(
                f"{folder} holds an earlier quickstart; --overwrite replaces it, --output-dir goes elsewhere"
            )
        shutil.rmtree(folder / "index", ignore_errors=True)


def _measure(model: SimCSE, pairs: ScoredPairs) -> tuple[SuiteResult, np.ndarray]:
    encode = model.encoder_fn()
    with model.full_length():
        return evaluate_pairs(encode, pairs), cosine_pairs(encode(pairs.first), encode(pairs.second))


def _answers(index: SentenceIndex, queries: list[str] | tuple[str, ...]) -> dict[str, list[Hit]]:
    """Three hits for each query; a query that is itself a sentence of the index is not its own answer."""
    found = index.search(list(queries), k=4)
    return {query: [hit for hit in hits if hit.text != query][:3] for query, hits in zip(queries, found, strict=True)}


def _report(made: QuickstartResult, data: TextData, pairs: ScoredPairs, before: np.ndarray, after: np.ndarray) -> None:
    log = read_log(made.model)
    assert log is not None
    assert log.saved_step is not None
    figures = [
        Figure(
            title="Training curve",
            svg=training_curves([Curve("run", log.losses, log.scores)]),
            caption="The loss asks each sentence to find itself, under another dropout mask, among its batch.",
        ),
        Figure(
            title="Alignment and uniformity",
            svg=geometry_plane([GeometryPath("run", log.geometry, log.saved_step)]),
            caption="Training spreads the sentences over the sphere (left) and moves pairs of equal meaning a little "
            "apart as well (up). It helps as long as the first outweighs the second.",
        ),
        Figure(
            title="Similarity by gold score",
            svg=similarity_by_gold(pairs.gold, before, after, top=5.0),
            caption="Pairs of each fifth of the gold scale. The less these rows overlap, the better the cosine "
            "tells how near two sentences are in meaning.",
            wide=True,
        ),
    ]
    write_page(
        made.report,
        Page(
            title="SimCSE quickstart",
            lead=f"{made.trained_on:,} sentences without labels, {made.training.steps} steps, "
            f"{made.training.seconds:.0f} seconds: what unsupervised SimCSE does to the CLS vector of MiniLM.",
            sections=[
                Section(
                    tables=[
                        Table(
                            head=["on 120 self-graded pairs", "Spearman × 100", "alignment", "uniformity"],
                            rows=[_row("before", made.before), _row("after", made.after)],
                        )
                    ]
                ),
                Section(title="What training changed", figures=figures),
                Section(
                    title="Search",
                    answers={query: [(hit.score, hit.text) for hit in hits] for query, hits in made.answers.items()},
                ),
                Section(title="How to read this", notes=reading_notes()),
                Section(title="The run", facts=_facts(made, data)),
            ],
        ),
    )


def _facts(made: QuickstartResult, data: TextData) -> dict[str, str]:
    return {
        "sentences": f"{data.source}: {made.sentences:,} distinct ones in {len(data):,} lines, {data.empty} "
        f"empty lines dropped; trained on {made.trained_on:,}, indexed {made.indexed:,}",
        "start model": f"all-MiniLM-L6-v2, pooling {POOLING}",
        "saved": "the start model: no checkpoint scored higher"
        if made.training.start_was_better
        else f"the best checkpoint, step {made.training.best_step} of {made.training.steps}",
        "speed": f"{made.training.sentences_per_second:.0f} sentences/s in training, evaluation included",
    }


def reading_notes() -> list[str]:
    """What the figures of a quickstart show, and what they do not."""
    return [
        "The 120 pairs were graded by this package's authors on the STS scale, 0 to 5. They show the method at work; "
        "they are no benchmark, and they also chose the checkpoint, so the score after training is a little flattered.",
        "MiniLM with mean pooling is already a trained sentence encoder (78.87 on the seven STS tasks). Here its CLS "
        "vector, which was never trained for that (73.69), is trained the way one would train a raw encoder.",
        "`train unsup` is for raw encoders such as BERT: train one where your language has no sentence encoder. For "
        "search today, use MiniLM with mean pooling as it is: trained like this, it usually searches worse.",
    ]


def _row(name: str, result: SuiteResult) -> list[str]:
    return [name, f"{result.scores['spearman']:.2f}", f"{result.alignment:.3f}", f"{result.uniformity:.3f}"]
