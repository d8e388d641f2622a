"""`prepare_nli`: natural language inference data to SimCSE's triplets (Gao et al., 2021, section 4)."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from simcse_kit.bars import tqdm
from simcse_kit.data.columns import by_given_names, example_row, folded, wanted_names
from simcse_kit.data.prepare.output import check_new_file, write_triplets
from simcse_kit.data.reading import Layout, Reading, open_rows
from simcse_kit.data.rows import RowProblem, shown
from simcse_kit.data.text import text_of
from simcse_kit.errors import DataError, say_once

PREMISES = ("sentence1", "premise", "context")
HYPOTHESES = ("sentence2", "hypothesis", "hypo")  # hypo: XNLI's translated training files
LABEL_COLUMNS = ("gold_label", "label")
LANGUAGE = "language"
LABELS = ("entailment", "neutral", "contradiction")
UNLABELLED = "-"  # annotators did not agree
SPELLINGS = {label: label for label in (*LABELS, UNLABELLED)} | {"contradictory": "contradiction"}
"""Labels as words, without case."""
CODES = {"0": "entailment", "1": "neutral", "2": "contradiction", "-1": UNLABELLED} | {
    label[0]: label for label in LABELS
}
"""Labels as numbered in most data sets, and ANLI's letters."""
_WHOLE = re.compile(r"-?[0-9]+\.0+")  # as pandas writes integers in a column with empty cells
Combinations = Literal["one", "all"]
COMBINATIONS = get_args(Combinations)


class TripletCounts(NamedTuple):
    """Counts of rows read, left out (by reason) and written."""

    rows: int  # rows with sentences and label, in the requested language
    empty_rows: int
    bad_rows: int  # only with skip_bad_rows
    other_languages: int  # rows
    unlabelled: int  # rows whose label is -
    repeated: int  # entailments and contradictions that occurred before
    ambiguous: int  # hypotheses that one premise both entails and contradicts; not used
    premises: int
    without_both: int  # premises that lack an entailment or a contradiction
    written: int  # triplets


class _Hypotheses(NamedTuple):
    entailed: dict[str, None]  # in file order
    contradicted: dict[str, None]


def prepare_nli(
    sources: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    combinations: Combinations = "one",
    language: str | None = None,
    labels: Mapping[str, str] | None = None,
    seed: int = 42,
    skip_bad_rows: bool = False,
    overwrite: bool = False,
    show_progress_bar: bool = False,
) -> TripletCounts:
    """Write (premise, entailed hypothesis, contradicted hypothesis) rows: sent0, sent1, hard_neg.

    Args:
        sources: SNLI, MultiNLI, XNLI, ANLI, KLUE-NLI or KorNLI files: `.jsonl`, `.parquet`, `.csv`, or `.txt` and
            `.tsv` with a header and cells between tabs (quotes are part of the text), each also with `.gz`. The columns
            are premise (or sentence1, context), hypothesis (sentence2, hypo) and label (gold_label).
        output: a `.csv` file, for `simcse_kit.data.read_examples`.
        combinations: ``one`` triplet per premise, drawn with ``seed``, as in the paper's file; or ``all``.
        language: only rows with this value in their column ``language`` (XNLI); None takes every row.
        labels: meaning of the labels in the files: entailment, neutral, contradiction, or - for a row to leave out.
            None: these words, 0 = entailment, 1 = neutral, 2 = contradiction, -1 = -, and e, n, c; a notice gives the
            meaning used.
        seed: random seed of the draw.
        skip_bad_rows: skip and count rows that cannot be read, instead of a `DataError`.
        overwrite: replace ``output``.
        show_progress_bar: show one.

    Raises:
        DataError: a file or row cannot be used, an argument is not allowed, or there is no triplet.
        DiskFullError: the disk is full; existing files are untouched.
    """
    if combinations not in COMBINATIONS:
        raise DataError(f"combinations must be one of {', '.join(COMBINATIONS)}; got {combinations!r}")
    meanings = SPELLINGS | (CODES if labels is None else _given(labels))
    named = [sources] if isinstance(sources, str | Path) else list(sources)
    target = Path(output)
    check_new_file(target, named, suffix=".csv", overwrite=overwrite)
    tally: Counter[str] = Counter()
    premises: dict[str, _Hypotheses] = {}
    rows = (row for source in named for row in _rows(source, language, meanings, skip_bad_rows, tally))
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


def _given(labels: Mapping[str, str]) -> dict[str, str]:
    """The user's mapping of labels, validated."""
    found = {str(label).strip().casefold(): str(meaning).strip().casefold() for label, meaning in labels.items()}
    for label, meaning in found.items():
        if meaning not in (*LABELS, UNLABELLED):
            raise DataError(
                f"labels (--labels): {label} must mean one of {', '.join(LABELS)}, or {UNLABELLED}; got {meaning!r}"
            )
    return found


def _rows(
    source: str | Path, language: str | None, meanings: Mapping[str, str], skip_bad_rows: bool, tally: Counter[str]
) -> Iterator[tuple[str, str, str]]:
    others: Counter[str] = Counter()
    used: dict[str, str] = {}
    rows = 0
    with open_rows(
        source,
        is_wanted=wanted_names((*PREMISES, *HYPOTHESES, *LABEL_COLUMNS, LANGUAGE)),
        skip_bad_rows=skip_bad_rows,
        tabs_for_cells=3,
    ) as reading:
        layout = _layout(reading, language)
        for premise, hypothesis, label, spoken in reading.each(layout, lambda cells: _cells(cells, meanings)):
            if language is not None and spoken != language:
                others[spoken] += 1
                continue
            rows += 1
            used[label] = meanings[label]
            yield premise, hypothesis, meanings[label]
        _tell_labels(source, used)
        if not rows and others:
            raise DataError(
                f"{source} holds no row of the language {language!r} (--language); it holds {', '.join(sorted(others))}"
            )
        tally["rows"] += rows
        tally["other_languages"] += others.total()
        tally["empty_rows"] += reading.empty
        tally["bad_rows"] += len(reading.skipped)


def _tell_labels(source: str | Path, used: Mapping[str, str]) -> None:
    """Give a notice about the meaning of labels that are not words."""
    if any(label not in SPELLINGS for label in used):
        mapping = ", ".join(f"{label}={meaning}" for label, meaning in sorted(used.items()))
        say_once(f"{source}: labels are read as {mapping}; set other meanings with --labels")


def _layout(reading: Reading, language: str | None) -> Layout:
    head = reading.head("NLI rows")
    names = folded(head.names or head.cells)
    wanted = [_first(options, names) for options in (PREMISES, HYPOTHESES, LABEL_COLUMNS)]
    if None in wanted and head.names is None and not reading.may_have_header:
        wanted = [PREMISES[0]]  # raises an error: there are no names
    elif None in wanted:
        columns = ", ".join(str(name).strip() for name in head.names or head.cells)
        raise reading.error(
            head.line,
            f"the file needs the columns {' or '.join(PREMISES)}; {' or '.join(HYPOTHESES)}; "
            f"{' or '.join(LABEL_COLUMNS)}; the columns are {columns}{example_row(reading.source)}",
        )
    chosen = [*filter(None, wanted), *([] if language is None else [LANGUAGE])]
    layout = by_given_names(reading, chosen, "NLI rows")
    # MultiNLI and XNLI have additional cells at the end, a different number in each row.
    return layout._replace(width=max(layout.positions) + 1, more_allowed=True)


def _first(options: Sequence[str], names: Sequence[str]) -> str | None:
    return next((name for name in options if name in names), None)


def _cells(cells: tuple[object, ...], meanings: Mapping[str, str]) -> tuple[str, str, str, str] | None:
    """Premise, hypothesis, label as a key of ``meanings``, and language."""
    premise, hypothesis, spoken = (text_of(cell) for cell in (*cells[:2], *cells[3:], "")[:3])
    if not premise and not hypothesis:
        return None
    label = _label(cells[2])
    if label not in meanings:
        known = ", ".join(dict.fromkeys(meanings))
        raise RowProblem(f"the label must be one of {known}; found {shown(cells[2])}; set its meaning with --labels")
    if not premise or not hypothesis:
        raise RowProblem(
            f"the {'hypothesis' if premise else 'premise'} is empty: {shown((premise, hypothesis, label))}"
        )
    return premise, hypothesis, label, spoken


def _label(cell: object) -> str:
    """A label as case-folded text; a whole number, also 1.0, as its digits."""
    if (isinstance(cell, int) and not isinstance(cell, bool)) or (isinstance(cell, float) and cell.is_integer()):
        return str(int(cell))
    text = text_of(cell).casefold()
    return text.partition(".")[0] if _WHOLE.fullmatch(text) else text


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
