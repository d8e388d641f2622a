"""`judge`: compares two models or indexes blind on your own texts, by your own relevance judgements."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from simcse_kit.data import read_sentences
from simcse_kit.errors import DataError, say_once
from simcse_kit.evaluation.judgements import JudgedSystems, System, digest_of, open_judgements, text_id, used_queries
from simcse_kit.evaluation.judging import Judging, Question, Search
from simcse_kit.evaluation.verdict import Verdict
from simcse_kit.index.sentence_index import SentenceIndex
from simcse_kit.model import SimCSE
from simcse_kit.search.address import index_address, masked
from simcse_kit.search.store import MANIFEST

JudgeKey = int | Literal["next", "skip", "undo", "quit"]
"""A person's answer to a question: the number of a hit, to toggle its mark, or one of the words."""

LONG = 40  # words; if half of the texts are longer, they are documents and not used as queries
_WORDS = get_args(get_args(JudgeKey)[1])


def judge(
    first: SentenceIndex | SimCSE | str | Path,
    second: SentenceIndex | SimCSE | str | Path,
    texts: str | Path | Sequence[str],
    folder: str | Path,
    *,
    ask: Callable[[Question], JudgeKey],
    queries: str | Path | Iterable[str] | None = None,
    hits: int = 5,
    seed: int = 0,
    columns: Sequence[str] | None = None,
    show_progress_bar: bool = False,
    **options: Any,
) -> Verdict:
    """Compare two systems by your own relevance judgements, and store these for evaluation and training.

    Each question shows the hits of both systems in one shuffled list. Every answer is saved before the next question,
    so that a stop or a kill loses nothing; the same call continues. The folder is also data for the suite ``retrieval``
    and, as pairs of query and text with score 1 or 0, for ``eval_data`` of training.

    Args:
        first: a model, or its name or folder; or an index of the texts, or its address.
        second: the same for the second system.
        texts: a file of texts as in `simcse_kit.data.read_sentences`, or the texts; equal texts count once.
        folder: folder of judgements; created, or continued.
        ask: called with each question in its current state; returns the number of a hit, to toggle its mark, or a word:
            ``next`` (hits without a mark are not relevant), ``skip``, ``undo`` (back to the previous query), ``quit``.
        queries: a file of queries, or the queries; a list is asked in random order, an iterator in its own order. None:
            random texts, each searched for among the others.
        hits: hits per query of each system.
        seed: random seed of the orders.
        columns: the text column, if a file has several columns.
        show_progress_bar: show one while texts are encoded.
        options: of `SimCSE`, for models that are loaded here.

    Raises:
        DataError: fewer than two distinct texts, no queries, two equal systems, or a folder with other content.
        ModelError, SearchIndexError: a system cannot be opened.
    """
    corpus = corpus_of(read_sentences(texts, columns=columns).column(0))
    build = partial(SentenceIndex.build, kind="flat", show_progress_bar=show_progress_bar)
    opened = [_opened(system, options) for system in (first, second)]
    sides = [
        index_side(name, system) if isinstance(system, SentenceIndex) else _model_side(name, system, corpus, build)
        for name, system in zip(_names((first, second), opened), opened, strict=True)
    ]
    with judging((sides[0], sides[1]), corpus, folder, queries=queries, hits=hits, seed=seed) as now:
        while (question := now.question()) is not None:
            step = ask(question)
            if step == "quit":
                break
            take(now, step)
        return now.verdict


class Side(NamedTuple):
    """One of the two systems."""

    name: str  # name shown to the user
    model: SimCSE
    kind: str  # settings of its search
    texts: int  # number of texts that it can find
    search: Search


def take(judging: Judging, step: JudgeKey) -> None:
    """Apply an answer to the open question."""
    if isinstance(step, int):
        judging.mark(step)
    elif step in ("next", "skip", "undo"):
        {"next": judging.close, "skip": judging.skip, "undo": judging.undo}[step]()
    else:
        raise DataError(f"ask must return the number of a hit or one of {', '.join(_WORDS)}; got {step!r}")


@contextmanager
def judging(
    sides: tuple[Side, Side],
    corpus: dict[str, str],
    folder: str | Path,
    *,
    queries: str | Path | Iterable[str] | None = None,
    hits: int = 5,
    seed: int = 0,
) -> Iterator[Judging]:
    """Context with the judging of two systems, which locks their folder for this process; otherwise as in `judge`."""
    if hits < 1:
        raise DataError(f"hits must be at least 1; got {hits}")
    systems = [System(side.name, f"{side.model.fingerprint()[:32]} {side.kind}") for side in sides]
    if systems[0].identity == systems[1].identity:
        raise DataError(
            f"{sides[0].name} and {sides[1].name} are equal: same model, same search. No difference is "
            "possible; name two different systems"
        )
    for side in sides:
        if side.texts < len(corpus):
            say_once(f"{side.name} holds {side.texts:,} of the {len(corpus):,} texts and cannot find the others")
    about = JudgedSystems(
        systems=(systems[0], systems[1]), hits=hits, texts=len(corpus), digest=digest_of(corpus), seed=seed
    )
    order = _asked(queries, list(corpus.values()), seed)
    used = {name for side in sides for name in used_queries(side.model.name)}
    with open_judgements(folder, about, corpus) as opened:
        yield Judging(opened, corpus, (sides[0].search, sides[1].search), order, used)


def corpus_of(texts: Iterable[str]) -> dict[str, str]:
    """The distinct texts by `simcse_kit.evaluation.judgements.text_id`.

    Raises:
        DataError: fewer than two texts.
    """
    corpus: dict[str, str] = {}
    for text in texts:
        corpus.setdefault(text_id(text), text)
    if len(corpus) < 2:
        raise DataError(f"judging needs at least two different texts to search in; got {len(corpus)}")
    return corpus


def are_documents(texts: Sequence[str]) -> bool:
    """Whether half of the texts have more than `LONG` words, too long for queries: then the user types queries."""
    return median(len(text.split()) for text in texts) > LONG


def index_side(name: str, index: SentenceIndex, search: Search | None = None) -> Side:
    """An index, with its default search or another one."""
    structure = index.info().structure
    kind = "flat" if structure is None else structure.kind
    return Side(name, index.model, kind, len(index), search or partial(_found, index))


def _model_side(name: str, model: SimCSE, corpus: dict[str, str], build: Callable[..., SentenceIndex]) -> Side:
    """A model whose texts are encoded at its first search, so that errors of the folder come first."""
    built: list[SentenceIndex] = []

    def search(query: str, k: int) -> list[str]:
        if not built:
            built.append(build(model, list(corpus.values())))
        return _found(built[0], query, k)

    return Side(name, model, "flat", len(corpus), search)


def _found(index: SentenceIndex, query: str, k: int) -> list[str]:
    return [hit.text for hit in index.search(query, k)]


def _opened(system: SentenceIndex | SimCSE | str | Path, options: dict[str, Any]) -> SentenceIndex | SimCSE:
    if not isinstance(system, str | Path):
        return system
    address = index_address(system)
    if address.uri is None and not (Path(address.path) / MANIFEST).is_file():
        return SimCSE(system, **options)
    return SentenceIndex.open(address, **{name: value for name, value in options.items() if name != "pooling"})


def _names(given: Sequence[object], opened: Sequence[SentenceIndex | SimCSE]) -> tuple[str, str]:
    """Names of the two systems as the user gave them; only the last part, if that distinguishes them."""
    whole = [
        masked(system) if isinstance(system, str | Path) else (one.name if isinstance(one, SimCSE) else one.model.name)
        for system, one in zip(given, opened, strict=True)
    ]
    short = [Path(name).name or name for name in whole]
    first, second = whole if short[0] == short[1] else short
    return first, second if first != second else f"{second} (2)"


def _asked(queries: str | Path | Iterable[str] | None, texts: list[str], seed: int) -> Iterator[str]:
    """Texts of queries in the order of asking."""
    if queries is None:
        queries = texts
    elif isinstance(queries, str | Path):
        queries = read_sentences(queries).column(0)
    if not isinstance(queries, Sequence):
        return iter(queries)
    if not queries:
        raise DataError("there are no queries")
    order = np.random.default_rng(seed).permutation(len(queries))
    return (queries[number] for number in order)
