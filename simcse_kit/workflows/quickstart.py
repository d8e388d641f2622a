"""The main job in one call: adapt to a sample, search before and after, index, report."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from simcse_kit.data import LabelledTexts, TextData, read_sentences, sample_search_path
from simcse_kit.encoder.known import require_minilm
from simcse_kit.errors import TrainingError
from simcse_kit.evaluation.retrieval import load_retrieval
from simcse_kit.index.sentence_index import SentenceIndex
from simcse_kit.model import SimCSE
from simcse_kit.report import Curve, Figure, Page, Section, Table, query_changes, training_curves, write_page
from simcse_kit.report.gather import read_log
from simcse_kit.search import Hit
from simcse_kit.tabular import Tabular, rounded
from simcse_kit.training.events import TrainListener
from simcse_kit.wording import counted
from simcse_kit.workflows.adapt import AdaptResult, adapt
from simcse_kit.workflows.texts import read_texts

SAMPLE_QUERIES = ("lost card", "a charge that I cannot explain", "there is no current in my house")
_TEXTS_AT_MOST = 5000  # texts used of the user's own file: minutes on two cores
_MARKER = "quickstart.json"
_SCORES = {"ndcg@10": "nDCG@10", "recall@10": "recall@10", "recall@100": "recall@100", "mrr@10": "MRR@10"}


@dataclass(frozen=True, kw_only=True)
class QuickstartResult(Tabular):
    """Result of `quickstart`."""

    folder: Path
    model: Path  # the adapted model, or the start model if the adapted one is not clearly better
    index: Path
    report: Path
    adapted: AdaptResult
    texts: int  # distinct texts in the file
    used: int  # of these
    answers: dict[str, tuple[list[Hit], list[Hit]]]  # by query: hits before and after

    def __repr__(self) -> str:
        return f"QuickstartResult({str(self.folder)!r}, {self.adapted!r})"

    def _records(self) -> list[dict[str, str]]:
        return self.adapted._records()


def quickstart(
    sentences: str | Path | None = None,
    output_dir: str | Path = "simcse-kit-quickstart",
    *,
    overwrite: bool = False,
    listener: TrainListener | None = None,
) -> QuickstartResult:
    """Adapt the packaged MiniLM to a sample, offline, and show the effect on search.

    Args:
        sentences: your own file (see `simcse_kit.adapt`); None is the package's sample: messages to service desks with
            their topic as class, and judged queries. From a large file, a random part is used, so that it takes only
            minutes; without judgements, only the gate checks the result.
        output_dir: receives ``model/``, ``index/`` and ``report.html``.
        overwrite: replace the results of an earlier quickstart there.
        listener: receives the events of the training run.

    The sample's queries are not used in training or selection. If the interval of the difference contains 0, a line
    says so, and the start model is saved and indexed.
    """
    folder = Path(output_dir)
    _check_folder(folder, overwrite)
    name = require_minilm()
    sample = sample_search_path() if sentences is None else None
    texts, queries, count = _sample(sample) if sample is not None else _own(sentences)
    read_texts(texts)  # too few or all equal: an error before anything is written
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARKER).write_text(json.dumps({"made_by": "simcse-kit quickstart"}) + "\n", encoding="utf-8")
    made = adapt(
        texts,
        name,
        folder / "model",
        judgements=sample,
        overwrite=overwrite,
        listener=listener,
    )
    searched = texts.texts if isinstance(texts, LabelledTexts) else texts.column(0)
    indexes = [
        SentenceIndex.build(SimCSE(model), searched, show_progress_bar=len(searched) > 500)
        for model in (name, folder / "model")
    ]
    shutil.rmtree(folder / "index", ignore_errors=True)  # from an earlier quickstart
    indexes[1].save(folder / "index")
    answers = {query: tuple(_hits(index, query) for index in indexes) for query in queries}
    found = QuickstartResult(
        folder=folder,
        model=folder / "model",
        index=folder / "index",
        report=folder / "report.html",
        adapted=made,
        texts=count,
        used=len(searched),
        answers=answers,  # type: ignore[arg-type]
    )
    _report(found)
    return found


def _sample(folder: Path) -> tuple[LabelledTexts, Sequence[str], int]:
    """The sample's messages; an id names desk and topic, ``bank-lost-card-03``."""
    corpus = load_retrieval(folder).corpus
    labels = [name.rpartition("-")[0] for name in corpus]
    return LabelledTexts([*corpus.values()], labels, "the package's sample"), SAMPLE_QUERIES, len(corpus)


def _own(source: str | Path | None) -> tuple[TextData, Sequence[str], int]:
    """Texts of the user's own file, and three of them as queries."""
    assert source is not None
    data = read_sentences(source)
    distinct = list(dict.fromkeys(data.column(0)))
    chosen = random.Random(0).sample(distinct, min(_TEXTS_AT_MOST, len(distinct)))
    return (
        replace(data, rows=[(text,) for text in chosen]),
        random.Random(1).sample(chosen, min(3, len(chosen))),
        len(distinct),
    )


def _hits(index: SentenceIndex, query: str) -> list[Hit]:
    """Three hits; a query that is a text of the index does not find itself."""
    return [hit for hit in index.search(query, k=4) if hit.text != query][:3]


def _check_folder(folder: Path, overwrite: bool) -> None:
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / _MARKER).is_file():
            raise TrainingError(
                f"{folder} is not empty and not from an earlier quickstart; choose another --output-dir"
            )
        if not overwrite:
            raise TrainingError(
                f"{folder} holds an earlier quickstart; replace it with --overwrite, or name another --output-dir"
            )


def score_rows(made: AdaptResult) -> list[list[str]]:
    """Table rows for the start model, the adapted one, and the difference; empty without judged queries."""
    if made.results is None:
        return []
    before, after = (result.scores for result in made.results)
    shown = [[rounded(scores[name], 1) for name in _SCORES] for scores in (before, after)]
    changes = [rounded(after[name] - before[name], 1, signed=True) for name in _SCORES]
    return [["before", *shown[0]], ["after", *shown[1]], ["difference", *changes]]


def score_head() -> list[str]:
    """Table head for `score_rows`."""
    return ["judged queries", *_SCORES.values()]


def _report(made: QuickstartResult) -> None:
    adapted = made.adapted
    log = read_log(made.model)
    assert log is not None
    figures = [
        Figure(
            title="Training loss",
            picture=training_curves([Curve("run", log.losses, [])]),
            caption="A falling loss shows that training learns, not that search improves.",
        )
    ]
    sections = []
    if adapted.results is not None and adapted.figures is not None:
        before, after = (100 * result.outcomes[0].values for result in adapted.results)
        mean, (low, high) = adapted.figures.difference, adapted.figures.interval
        figures.insert(
            0,
            Figure(
                title="Search, query by query",
                picture=query_changes(before, after, score="nDCG@10", mean=mean, low=low, high=high),
                caption="Each bar is a judged query that was not used in training.",
                wide=True,
            ),
        )
        sections.append(Section(tables=[Table(head=score_head(), rows=score_rows(adapted))]))
    write_page(
        made.report,
        Page(
            title="simcse_kit quickstart",
            lead=f"{adapted.texts.count:,} texts, {counted(adapted.training.steps, 'step')}, "
            f"{adapted.training.seconds:.0f} "
            "seconds: the effect of adapting MiniLM to them on search.",
            sections=[
                *sections,
                Section(title="What changed", figures=figures),
                *(
                    Section(
                        title=f"Search {when}",
                        answers={
                            query: [(hit.score, hit.text) for hit in hits[side]] for query, hits in made.answers.items()
                        },
                    )
                    for side, when in enumerate(("before", "after"))
                ),
                Section(title="The run", facts=dict(adapted.lines()[:-1])),
            ],
        ),
    )
