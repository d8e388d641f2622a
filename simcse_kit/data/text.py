"""Sentences, pairs and triplets to train on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from simcse_kit.data.columns import Wanted, find_examples, find_sentence, layout_of_text, wanted_names
from simcse_kit.data.label_columns import fault_of_texts
from simcse_kit.data.reading import open_rows
from simcse_kit.data.rows import BadRow, RowProblem, is_blank, shown

SENTENCES = Wanted(
    what="sentences",
    widths=(1,),
    find=find_sentence,
    known="one column, or a single one named text, sentence, sent or sent0",
    advice="choose the column with --columns; to train on pairs and triplets use `simcse-kit train sup`",
)
EXAMPLES = Wanted(
    what="pairs or triplets",
    widths=(2, 3),
    find=find_examples,
    known="2 or 3 columns, such as sent0, sent1[, hard_neg] or anchor, positive[, negative]",
    advice="choose the columns with --columns; to train on single sentences use `simcse-kit train unsup`",
    optional=frozenset(("hard_neg", "negative")),
    unlabelled=True,
)


@dataclass(frozen=True, kw_only=True)
class TextData:
    """N rows of text of equal width; stripped at both ends, otherwise unchanged.

    >>> data = read_examples([("A man sings.", "He sings."), ("It rains.", "Rain falls.")])
    >>> len(data), data.width, data.column(1)
    (2, 2, ['He sings.', 'Rain falls.'])
    """

    rows: list[tuple[str, ...]]  # 1 cell: sentence; 2: anchor, positive; 3: anchor, positive, hard negative
    source: str  # as the user named it
    empty: int = 0  # dropped blank lines and rows with only empty cells
    skipped: tuple[BadRow, ...] = ()  # only with skip_bad_rows

    @property
    def width(self) -> int:
        """Cells in a row: 1, 2 or 3."""
        return len(self.rows[0]) if self.rows else 0

    def column(self, i: int) -> list[str]:
        """The i-th cell of every row, (N,)."""
        return [row[i] for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def fingerprint(self) -> str:
        """SHA-256 (hex) of the rows. Equal text in equal order gives the same value, whatever its file."""
        digest = hashlib.sha256(f"{self.width} columns\n".encode())
        for row in self.rows:
            for cell in row:
                content = cell.encode()
                digest.update(b"%d:%b" % (len(content), content))  # the length separates cells
        return digest.hexdigest()


def read_sentences(
    source: str | Path | Sequence[str],
    *,
    columns: Sequence[str] | None = None,
    header: bool | None = None,
    skip_bad_rows: bool = False,
) -> TextData:
    r"""Read one sentence a row: width 1.

    `source` is a file, `hf:NAME[:split]` (split `train` by default) or a sequence of strings. A file is UTF-8, its
    format goes by suffix, each also with `.gz`: `.txt` (a sentence a line), `.csv` (RFC 4180), `.tsv` (no quoting: a
    `"` is part of the text), `.jsonl` or `.ndjson` (objects, or strings), `.parquet`. The column is the one named in
    `columns`, else the single one named text, sentence, sent or sent0, else the only one. `header` says whether the
    first row of a `.csv` or `.tsv` file holds names; None finds out where that is certain.

    Blank rows are dropped and counted. Raises `DataError`, with file and line, for a row that cannot be used - with
    `skip_bad_rows` it is left out and listed in `skipped` - and where no row is left.

    >>> read_sentences([" A man is singing. ", "", "It rains."])
    TextData(rows=[('A man is singing.',), ('It rains.',)], source='<memory>', empty=1, skipped=())
    """
    return _read(source, SENTENCES, columns, header, skip_bad_rows)


def read_examples(
    source: str | Path | Sequence[Sequence[str]],
    *,
    columns: Sequence[str] | None = None,
    header: bool | None = None,
    skip_bad_rows: bool = False,
) -> TextData:
    """Read (anchor, positive) or (anchor, positive, hard negative) rows: width 2 or 3.

    Sources, `header`, `skip_bad_rows` and errors are those of `read_sentences`, except `.txt`, which has no columns.
    The columns are those named in `columns`, else sent0, sent1[, hard_neg] or anchor, positive[, negative] (then
    others, such as id, are ignored), else the two or three columns of a file without header. A row in which some cells
    are empty is a bad row.

    A column named like a label or a score, or one that holds numbers, raises an error, because not every row is then a
    positive. With `columns` every row is taken; `read_positives` takes those with the highest label.

    >>> read_examples([("A man sings.", "He sings.", "Nobody sings.")]).width
    3
    """
    return _read(source, EXAMPLES, columns, header, skip_bad_rows)


def _read(
    source: str | Path | Sequence[object],
    wanted: Wanted,
    columns: Sequence[str] | None,
    header: bool | None,
    skip_bad_rows: bool,
) -> TextData:
    with open_rows(source, is_wanted=wanted_names(columns), skip_bad_rows=skip_bad_rows) as reading:
        layout = layout_of_text(reading, wanted, columns, header)
        rows = reading.collect(layout, texts_of)
        if not rows:
            raise reading.nothing_left(wanted.what)
        if wanted.unlabelled and (fault := fault_of_texts(rows)):
            raise reading.error(reading.head(wanted.what).line, fault)
        return TextData(rows=rows, source=reading.source, empty=reading.empty, skipped=tuple(reading.skipped))


def text_of(cell: object) -> str:
    """The stripped cell; "" if it has no visible character. Raises `RowProblem` for anything but valid text."""
    if not isinstance(cell, str):
        raise RowProblem(f"expected a string, found {shown(cell)}")
    if not cell.isascii():
        try:
            cell.encode()
        except UnicodeEncodeError as error:  # JSON can contain "\ud83d" without its second half
            half = cell[error.start]
            raise RowProblem(f"half a surrogate pair ({half!r}) is not text: {shown(cell)}") from None
    return "" if is_blank(cell) else cell.strip()


def texts_of(cells: Sequence[object]) -> tuple[str, ...] | None:
    """All cells as text; None if all are blank. Raises `RowProblem` if only some are.

    >>> texts_of([" A man sings. ", "He sings."])
    ('A man sings.', 'He sings.')
    """
    texts = tuple([text_of(cell) for cell in cells])
    if all(texts):
        return texts
    if any(texts):
        raise RowProblem(f"cell {texts.index('') + 1} of {len(texts)} is empty: {shown(texts)}")
    return None
