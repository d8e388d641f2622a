"""`prepare_nli`: natural language inference data to SimCSE's triplets (Gao et al., 2021, section 4)."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from simcse_kit.data.columns import by_given_names, wanted_names
from simcse_kit.data.prepare.output import check_new_file, write_triplets
from simcse_kit.data.reading import Layout, Reading, open_rows
from simcse_kit.data.rows import RowProblem, shown
from simcse_kit.data.text import text_of
from simcse_kit.errors import DataError

COLUMNS = ("sentence1", "sentence2", "gold_label")
OTHER_COLUMNS = ("premise", "hypo", "label")  # of XNLI's translated training files
_OTHER_LABELS = {"contradictory": "contradiction"}  # there
LANGUAGE = "language"
LABELS = ("entailment", "neutral", "contradiction")
UNLABELLED = "-"  # the annotators did not agree
Combinations = Literal["one", "all"]
COMBINATIONS = get_args(Combinations)


class TripletCounts(NamedTuple):
    """What came in, what was left out and why, what was written."""

    rows: int  # with sentences and label, of the language asked for
    empty_rows: int
    bad_rows: int  # only with skip_bad_rows
    other_languages: int  # rows
    unlabelled: int  # rows whose label is -
    repeated: int  # entailments and contradictions that were there before
    ambiguous: int  # hypotheses that are both entailed and contradicted by one premise, used as neither
    premises: int
    without_both: int  # premises that lack an entailment or a contradiction
    written: int  # triplets


class _Hypotheses(NamedTuple):
    entailed: dict[str, None]  # in the order of the files
    contradicted: dict[str, None]


def prepare_nli(
    sources: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    combinations: Combinations = "one",
    language: str | None = None,
    seed: int = 42,
    skip_bad_rows: bool = False,
    overwrite: bool = False,
    show_progress_bar: bool = False,
) -> TripletCounts:
    """Write (premise, entailed hypothesis, contradicted hypothesis) rows: sent0, sent1, hard_neg.

    Args:
        sources: SNLI, MultiNLI, XNLI or KorNLI files: `.jsonl`, or `.txt` and `.tsv` with a header and cells between
            tabs (quotes are part of the text), each also with `.gz`; the columns are sentence1, sentence2, gold_label
            (XNLI's translated training files: premise, hypo, label).
        output: a `.csv` file, for `simcse_kit.data.read_examples`.
        combinations: ``one`` triplet a premise, drawn by ``seed``, as in the paper's file; or ``all``.
        language: only rows with this in their column ``language`` (XNLI); None takes every row.
        seed: random seed of the draw.
        skip_bad_rows: leave out and count what cannot be read, instead of a `DataError`.
        overwrite: replace ``output``.
        show_progress_bar: show one.

    Raises:
        DataError: a file or row that cannot be used, an argument that is not allowed, or no triplet at all.
        DiskFullError: no room; what was there is untouched.
    """
    from tqdm.auto import tqdm

    if combinations not in COMBINATIONS:
        raise DataError(f"combinations must be one of {', '.join(COMBINATIONS)}; got {combinations!r}")
    named = [sources] if isinstance(sources, str | Path) else list(sources)
    target = Path(output)
    check_new_file(target, named, suffix=".csv", overwrite=overwrite)
    tally: Counter[str] = Counter()
    premises: dict[str, _Hypotheses] = {}
    rows = (row for source in named for row in _rows(source, language, skip_bad_rows, tally))
    for premise, hypothesis, label in tqdm(rows, desc="Reading", unit="row", disable=not show_progress_bar):
        _collect(premises.setdefault(premise, _Hypotheses({}, {})), hypothesis, label, tally)
    tally["premises"] = len(premises)
    triplets = list(_triplets(premises, combinations, random.Random(seed), tally))
    if not triplets:
        raise DataError(
            f"{', '.join(map(str, named))}: no premise has both an entailment and a contradiction "
            f"({tally['premises']} premises in {tally['rows']} rows)"
        )
    tally["written"] = write_triplets(target, triplets)
    return TripletCounts(**{name: tally[name] for name in TripletCounts._fields})


def _rows(
    source: str | Path, language: str | None, skip_bad_rows: bool, tally: Counter[str]
) -> Iterator[tuple[str, str, str]]:
    wanted = COLUMNS if language is None else (*COLUMNS, LANGUAGE)
    others: Counter[str] = Counter()
    rows = 0
    with open_rows(
        source,
        is_wanted=wanted_names((*wanted, *OTHER_COLUMNS)),
        skip_bad_rows=skip_bad_rows,
        tabs_for_cells=len(COLUMNS),
    ) as reading:
        for premise, hypothesis, label, spoken in reading.each(_layout(reading, wanted), _cells):
            if language is not None and spoken != language:
                others[spoken] += 1
                continue
            rows += 1
            yield premise, hypothesis, label
        if not rows and others:
            raise DataError(
                f"{source} holds no row of the language {language!r} (--language); it holds {', '.join(sorted(others))}"
            )
        tally["rows"] += rows
        tally["other_languages"] += others.total()
        tally["empty_rows"] += reading.empty
        tally["bad_rows"] += len(reading.skipped)


def _layout(reading: Reading, wanted: Sequence[str]) -> Layout:
    head = [str(cell).strip() for cell in reading.head("NLI rows").names or reading.head("NLI rows").cells]
    if COLUMNS[0] not in head and set(OTHER_COLUMNS) <= set(head):
        wanted = OTHER_COLUMNS + tuple(wanted[len(COLUMNS) :])
    layout = by_given_names(reading, wanted, "NLI rows")
    # MultiNLI and XNLI have further cells behind, not the same number in every row.
    return layout._replace(width=max(layout.positions) + 1, more_allowed=True)


def _cells(cells: tuple[object, ...]) -> tuple[str, str, str, str] | None:
    premise, hypothesis, label, spoken = (text_of(cell) for cell in (*cells, "")[:4])
    label = _OTHER_LABELS.get(label, label)
    if not premise and not hypothesis:
        return None
    if label != UNLABELLED and label not in LABELS:
        raise RowProblem(f"gold_label must be one of {', '.join(LABELS)}, or {UNLABELLED}; found {shown(label)}")
    if not premise or not hypothesis:
        raise RowProblem(f"{'sentence2' if premise else 'sentence1'} is empty: {shown((premise, hypothesis, label))}")
    return premise, hypothesis, label, spoken


def _collect(known: _Hypotheses, hypothesis: str, label: str, tally: Counter[str]) -> None:
    if label == UNLABELLED:
        tally["unlabelled"] += 1
    elif label != "neutral":
        group = known.entailed if label == "entailment" else known.contradicted
        tally["repeated"] += hypothesis in group
        group[hypothesis] = None


def _triplets(
    premises: dict[str, _Hypotheses], combinations: Combinations, draw: random.Random, tally: Counter[str]
) -> Iterator[tuple[str, str, str]]:
    for premise, known in premises.items():
        ambiguous = known.entailed.keys() & known.contradicted.keys()
        tally["ambiguous"] += len(ambiguous)
        positives = [text for text in known.entailed if text not in ambiguous]
        negatives = [text for text in known.contradicted if text not in ambiguous]
        if not positives or not negatives:
            tally["without_both"] += 1
        elif combinations == "one":
            yield premise, draw.choice(positives), draw.choice(negatives)
        else:
            yield from ((premise, positive, negative) for positive in positives for negative in negatives)
