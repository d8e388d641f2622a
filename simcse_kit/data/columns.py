"""Which columns a reader takes: by given names, by known names, or by position."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from simcse_kit.data.label_columns import is_label_name, ways_on
from simcse_kit.data.reading import MEMORY, Layout, Reading, open_rows
from simcse_kit.data.rows import Row, shown
from simcse_kit.data.tables import IsWanted
from simcse_kit.errors import DataError, MissingColumnError
from simcse_kit.wording import counted

SINGLE_NAMES = ("text", "sentence", "sent", "sent0")
EXAMPLE_FAMILIES = (("sent0", "sent1", "hard_neg"), ("anchor", "positive", "negative"))
PAIR_FAMILIES = (
    ("sentence1", "sentence2"),
    ("text1", "text2"),
    ("sentence_a", "sentence_b"),
    ("question1", "question2"),
)
SCORE_NAMES = ("score", "gold", "similarity", "relatedness_score", "similarity_score")
CLASS_OR_SCORE = ("label", "is_duplicate", "is_paraphrase")  # a score if it is the only one, as in GLUE; next to one
# (SICK on the Hub) it is a class

KNOWN_NAMES = frozenset(
    (*SINGLE_NAMES, *sum(EXAMPLE_FAMILIES, ()), *sum(PAIR_FAMILIES, ()), *SCORE_NAMES, *CLASS_OR_SCORE)
)
ID_NAMES = ("id", "_id", "idx", "index", "pair_id")
NOT_BY_POSITION = frozenset((*SCORE_NAMES, *CLASS_OR_SCORE, "hard_neg", "negative", *ID_NAMES))
"""Names that mark a column as label or score: never the second or third sentence of a row."""

SENTENCE_MARK = re.compile(r"""[\s.,;:!?"'()。、，！？…]""")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The columns that one reader looks for."""

    what: str  # completes the errors' "holds no ..."
    widths: tuple[int, ...]  # possible numbers of columns
    find: Callable[[Sequence[str]], tuple[int, ...] | None]  # folded names -> positions, None if absent or ambiguous
    known: str  # names that `find` accepts, in errors
    advice: str  # advice in errors for a file of another shape
    optional: frozenset[str] = frozenset()  # names that all rows or no row must have
    unlabelled: bool = False  # a column named like a label or a score raises an error


def folded(names: Iterable[object]) -> list[str]:
    """Names in the form that is compared: case-folded, stripped."""
    return [str(name).strip().casefold() for name in names]


def wanted_names(columns: Sequence[str] | None) -> IsWanted:
    """Which columns of a Parquet file or Hub data set are worth decoding."""
    names = KNOWN_NAMES if columns is None else frozenset(folded(columns))
    return lambda name: name.strip().casefold() in names


def find_sentence(names: Sequence[str]) -> tuple[int, ...] | None:
    """The only text column, if the choice is clear.

    >>> find_sentence(["id", "text"]), find_sentence(["sent0", "sent1"])
    ((1,), None)
    """
    rivals = {*sum(EXAMPLE_FAMILIES, ()), *sum(PAIR_FAMILIES, ())} - set(SINGLE_NAMES)
    hits = tuple(position for position, name in enumerate(names) if name in SINGLE_NAMES)
    return hits if len(hits) == 1 and not rivals & set(names) else None


def find_examples(names: Sequence[str]) -> tuple[int, ...] | None:
    """The columns of the only family found, in its order, with or without the hard negative."""
    families = [family for family in EXAMPLE_FAMILIES if {*family[:2]} <= set(names)]
    if len(families) != 1:
        return None
    present = [name for name in families[0] if name in names]
    return tuple(names.index(name) for name in present) if all(names.count(name) == 1 for name in present) else None


def find_scored(names: Sequence[str]) -> tuple[int, ...] | None:
    """First sentence, second sentence, gold score. Accepts names of a family of examples if it has no hard negative.

    >>> find_scored(["label", "anchor", "positive"]), find_scored(["label", "anchor", "positive", "negative"])
    ((1, 2, 0), None)
    """
    pairs = (*PAIR_FAMILIES, *(family[:2] for family in EXAMPLE_FAMILIES if family[2] not in names))
    families = [family for family in pairs if set(family) <= set(names)]
    scores = [name for name in SCORE_NAMES if name in names] or [name for name in CLASS_OR_SCORE if name in names]
    if len(families) != 1 or len(scores) != 1:
        return None
    chosen = (*families[0], scores[0])
    return tuple(names.index(name) for name in chosen) if all(names.count(name) == 1 for name in chosen) else None


def check_columns(columns: Sequence[str] | None, header: bool | None, widths: tuple[int, ...]) -> None:
    """Raise `DataError` if no file can satisfy `columns`."""
    if columns is None:
        return
    if isinstance(columns, str) or len(columns) not in widths:
        allowed = " or ".join(map(str, widths))
        raise DataError(f"columns (--columns) must be {allowed} column names; got {columns!r}")
    if header is False:
        raise DataError("columns (--columns) needs a header line with the names; leave out --no-header")


def by_given_names(reading: Reading, columns: Sequence[str], what: str) -> Layout:
    """The columns that the user named: exact match first, then without case."""
    head = reading.head(what, is_header=True)
    if head.names is None and not reading.may_have_header:
        raise DataError(f"{reading.source} has no named columns; cannot select {', '.join(columns)}")
    names = [str(cell).strip() for cell in head.names or head.cells]
    positions = []
    for column in columns:
        hits = [i for i, name in enumerate(names) if name == column.strip()]
        hits = hits or [i for i, name in enumerate(folded(names)) if name == column.strip().casefold()]
        if len(hits) != 1:
            fault = "more than one column" if hits else "no column"
            problem = reading.error(head.line, f"{fault} named {column!r}; the columns are {', '.join(names)}")
            raise MissingColumnError(str(problem), column)
        positions.append(hits[0])
    return _by_name(tuple(positions), head.names, len(names))


def _by_name(positions: tuple[int, ...], row_names: tuple[str, ...] | None, width: int) -> Layout:
    names = None if row_names is None else tuple(row_names[position] for position in positions)
    return Layout(positions, width, names, has_header=row_names is None)


def by_known_names(reading: Reading, wanted: Wanted, header: bool | None) -> Layout | None:
    """The columns with names that the reader knows; None if the first row has no such names.

    Raises `DataError` for rows that carry their own names (JSON objects, Parquet): they have no other layout.
    """
    head = reading.head(wanted.what, is_header=header is True)
    if head.names is None and (header is False or not reading.may_have_header):
        return None
    names = folded(head.names or head.cells)
    positions = wanted.find(names)
    if positions is not None:
        if wanted.unlabelled:
            _check_labels(reading, head, positions)
        absent = wanted.optional - {*folded(head.names or ())}
        return _by_name(positions, head.names, len(head.cells))._replace(absent=absent)
    if head.names is not None:
        raise reading.error(
            head.line,
            f"found the columns {', '.join(head.names)}; needed: {wanted.known}; {wanted.advice}"
            f"{example_row(reading.source)}{_ways_on(wanted, head.names)}",
        )
    return None


def _check_labels(reading: Reading, head: Row, texts: Sequence[int]) -> None:
    """Raise `DataError` if a column beside ``texts`` is named like a label: not all rows are positives."""
    names = [str(name).strip() for name in head.names or head.cells]
    labels = [name for place, name in enumerate(names) if place not in texts and is_label_name(folded([name])[0])]
    if labels:
        pair = [names[place] for place in texts[:2]]
        raise reading.error(
            head.line,
            f"column {labels[0]} is named like a label or a score; pairs and triplets have none; the columns "
            f"are {', '.join(names)}{example_row(reading.source)}; "
            f"{ways_on([*pair, labels[0]] if len(pair) == 2 else None)}",
        )


def _ways_on(wanted: Wanted, names: Sequence[object]) -> str:
    """Advice for labelled pairs, for an error about these columns; empty if no column is named like a label."""
    known = folded(names)
    if not wanted.unlabelled or not any(map(is_label_name, known)):
        return ""
    places = find_scored(known)
    return f"; {ways_on(None if places is None else [str(names[place]).strip() for place in places])}"


def example_row(source: str | Path) -> str:
    """The first row with its column names, for an error; empty if columns have no names or no row can be read."""
    if str(source) == MEMORY or str(source).removesuffix(".gz").endswith(".txt"):
        return ""
    try:
        with open_rows(source, is_wanted=lambda _: True, skip_bad_rows=True) as reading:
            head = reading.head("rows")
            if head.names is None and not reading.may_have_header:
                return ""
            names = head.names or head.cells
            layout = Layout(tuple(range(len(names))), len(names), head.names, has_header=head.names is None)
            cells: Sequence[object] = next(reading.each(layout, tuple), ())
    except DataError:
        return ""
    row = ", ".join(f"{name}: {shown(cell)}" for name, cell in zip(names, cells, strict=False))
    return f"; the first row is {row}" if row else ""


def layout_of_text(reading: Reading, wanted: Wanted, columns: Sequence[str] | None, header: bool | None) -> Layout:
    """Decide which columns hold the sentences, and whether the first row is a header; raises `DataError`."""
    check_columns(columns, header, wanted.widths)
    if columns is not None:
        return by_given_names(reading, columns, wanted.what)
    layout = by_known_names(reading, wanted, header)
    if layout is not None:
        return layout
    head = reading.head(wanted.what)
    width = len(head.cells)
    if width not in wanted.widths:
        count = counted(width, "column")
        bare = width > 1 and reading.may_have_header and any(map(_reads_like_text, head.cells))
        names = " (by header names; this file seems to have no header: add one)" if bare else ""
        raise reading.error(
            head.line,
            f"found {count} ({shown(head.cells)}); needed: {wanted.known}; {wanted.advice}{names}"
            f"{example_row(reading.source) if width > 1 else ''}{_ways_on(wanted, head.cells)}",
        )
    if header and not reading.may_have_header:
        raise DataError(f"{reading.source} cannot have a header line (--header); only .csv and .tsv files can")
    named = header is not False and reading.may_have_header and not any(_reads_like_text(cell) for cell in head.cells)
    if named and wanted.unlabelled and any(map(is_label_name, folded(head.cells))):
        texts = [place for place, name in enumerate(folded(head.cells)) if not is_label_name(name)]
        _check_labels(reading, head, texts if len(texts) > 1 else range(0))
    if header and (width > 1 or NOT_BY_POSITION & {*folded(head.cells)}):
        names = ", ".join(map(str, head.cells))
        raise reading.error(
            head.line,
            f"found the columns {names}; needed: {wanted.known}; {wanted.advice}{example_row(reading.source)}"
            f"{_ways_on(wanted, head.cells)}",
        )
    if named and header is None:
        advice = "use --header or --no-header (header=True or False)"
        if width > 1:
            advice = "name its columns with --columns, or use --no-header (header=False)" + example_row(reading.source)
        raise reading.error(
            head.line, f"cannot tell whether {shown(head.cells)} is a header or the first row of data; {advice}"
        )
    return Layout(tuple(range(width)), width, has_header=bool(header))


def _reads_like_text(cell: object) -> bool:
    return SENTENCE_MARK.search(str(cell).strip()) is not None
