"""`prepare_sentences`: documents to unique clean sentences, one per line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from simcse_kit.bars import tqdm
from simcse_kit.data.files import files_of
from simcse_kit.data.prepare.documents import document_lines
from simcse_kit.data.prepare.duplicates import RowMask, digest, nearly_repeated, repeated
from simcse_kit.data.prepare.output import check_new_file
from simcse_kit.data.prepare.splitting import WITHOUT_SPACES, check_language, split_lines
from simcse_kit.errors import DataError
from simcse_kit.files import staged_file

LEAST_THRESHOLD = 0.5  # below this, MinHash bands pair up nearly all rows

DEFAULT_WORDS = (3, 128)
DEFAULT_CHARACTERS = (6, 256)  # in languages without spaces


class SentenceCounts(NamedTuple):
    """Counts of sentences found, left out (by reason) and written.

    ``found`` is the sum of ``without_words``, ``too_short``, ``too_long``, ``duplicates``, ``near_duplicates`` and
    ``written``.
    """

    files: int
    ignored_files: int  # files of unknown kind in a folder
    empty_files: int  # of 0 bytes
    documents: int  # a .txt file is one document; in other files each row is one
    empty_documents: int
    bad_rows: int  # only with skip_bad_rows
    found: int  # sentences
    without_words: int  # no letter or digit
    too_short: int
    too_long: int
    duplicates: int  # identical after normalisation
    near_duplicates: int
    written: int


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """Minimum and maximum length of a sentence, inclusive; None: no limit."""

    words: tuple[int | None, int | None]
    characters: tuple[int | None, int | None]

    def fault(self, sentence: str) -> str | None:
        """``too_short``, ``too_long`` or None."""
        for (least, most), length in ((self.words, sentence.count(" ") + 1), (self.characters, len(sentence))):
            if least is not None and length < least:
                return "too_short"
            if most is not None and length > most:
                return "too_long"
        return None


def lengths_of(
    language: str, min_words: int | None, max_words: int | None, min_chars: int | None, max_chars: int | None
) -> Lengths:
    """The requested limits, else the defaults of the language: in words, or in characters if it has no spaces."""
    words, characters = (min_words, max_words), (min_chars, max_chars)
    if language.partition("-")[0] in WITHOUT_SPACES:
        characters = _or_default(characters, DEFAULT_CHARACTERS)
    else:
        words = _or_default(words, DEFAULT_WORDS)
    for name, (least, most) in (("words", words), ("chars", characters)):
        if least is not None and most is not None and least > most:
            raise DataError(f"min_{name} (--min-{name}) {least} is larger than max_{name} (--max-{name}) {most}")
    return Lengths(words=words, characters=characters)


def _or_default(asked: tuple[int | None, int | None], default: tuple[int, int]) -> tuple[int, int]:
    return (default[0] if asked[0] is None else asked[0], default[1] if asked[1] is None else asked[1])


def prepare_sentences(
    sources: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    language: str = "en",
    column: str | None = None,
    line_paragraphs: bool = False,
    min_words: int | None = None,
    max_words: int | None = None,
    min_chars: int | None = None,
    max_chars: int | None = None,
    near_duplicates: float = 0.9,
    skip_bad_rows: bool = False,
    overwrite: bool = False,
    show_progress_bar: bool = False,
) -> SentenceCounts:
    """Split documents into sentences and write each one once, one per line, in order.

    Memory does not grow with the text: sentences and the keys that find duplicates are stored in a folder beside
    ``output``, which needs about three times the size of the text. The longest line (or row) must fit in memory.
    ``output`` is written atomically.

    Args:
        sources: files (`.txt`, `.jsonl`, `.parquet`, `.csv`, `.tsv`, each also with `.gz`), folders of such files, or
            `hf:NAME[:split]`. In a `.txt` file or a text with line ends, a blank line ends a paragraph and the lines of
            a paragraph are joined.
        output: a `.txt` file, for `simcse_kit.data.read_sentences`.
        language: ISO 639 code, for the rules of the splitter.
        column: text column; None takes the one named text, sentence, sent or sent0, else the only one.
        line_paragraphs: each line is a paragraph; for texts that are not wrapped.
        min_words: fewest words of a sentence; None: 3, and no limit in languages without spaces (Chinese, Japanese,
            ...).
        max_words: most words of a sentence; None: 128, and no limit in languages without spaces.
        min_chars: fewest characters of a sentence; None: no limit, but 6 in languages without spaces.
        max_chars: most characters of a sentence; None: no limit, but 256 in languages without spaces.
        near_duplicates: drop a sentence if its Jaccard similarity to an earlier one is at least this, over character
            trigrams without case and punctuation; 0 keeps all.
        skip_bad_rows: skip and count rows that cannot be read, instead of a `DataError`.
        overwrite: replace ``output``.
        show_progress_bar: show one.

    Raises:
        DataError: a file or row cannot be used, an argument is not allowed, or no sentence is left.
        DiskFullError: the disk is full; existing files are untouched.
    """
    check_language(language)
    lengths = lengths_of(language, min_words, max_words, min_chars, max_chars)
    if near_duplicates and not LEAST_THRESHOLD <= near_duplicates <= 1:
        raise DataError(
            f"near_duplicates (--near-duplicates) must be 0 (off) or from {LEAST_THRESHOLD} to 1; got {near_duplicates}"
        )
    target = Path(output)
    named = [sources] if isinstance(sources, str | Path) else list(sources)
    tally: Counter[str] = Counter()
    files = files_of(named, tally)
    check_new_file(target, files, suffix=".txt", overwrite=overwrite)
    tally["files"] = len(files)
    found = (
        sentence
        for file in files
        for sentence in split_lines(
            document_lines(file, column, skip_bad_rows=skip_bad_rows, tally=tally),
            language,
            line_paragraphs=line_paragraphs,
        )
    )
    with staged_file(target) as folder:
        _write_each_once(found, folder, folder / target.name, lengths, near_duplicates, tally, show_progress_bar)
        counts = SentenceCounts(**{name: tally[name] for name in SentenceCounts._fields})
        if not counts.written:
            raise DataError(
                f"{', '.join(map(str, named))}: no sentence is left of {counts.found} found; {_said(counts)}"
            )
    return counts


def _said(counts: SentenceCounts) -> str:
    return ", ".join(f"{name.replace('_', ' ')}: {n}" for name, n in counts._asdict().items() if n)


def _write_each_once(
    found: Iterator[str], folder: Path, target: Path, lengths: Lengths, threshold: float, tally: Counter[str], bar: bool
) -> None:
    text, digests = folder / "found", folder / "digests"
    with (
        text.open("wb") as lines,
        digests.open("wb") as keys,
        tqdm(desc="Splitting", unit="sentence", disable=not bar) as progress,
    ):
        for sentence in found:
            progress.update()
            tally["found"] += 1
            fault = lengths.fault(sentence) if any(map(str.isalnum, sentence)) else "without_words"
            if fault is not None:
                tally[fault] += 1
                continue
            line = sentence.encode() + b"\n"
            lines.write(line)
            keys.write(digest(line))
    candidates = tally["found"] - tally["without_words"] - tally["too_short"] - tally["too_long"]
    dropped = repeated(digests, candidates)
    tally["duplicates"] = int(dropped.sum())
    digests.unlink()
    if threshold:
        with (
            text.open("rb") as lines,
            tqdm(
                total=candidates - tally["duplicates"], desc="Comparing", unit="sentence", disable=not bar
            ) as progress,
        ):
            new_text, dropped = nearly_repeated(
                _kept(lines, dropped), folder, threshold=threshold, on_rows=progress.update
            )
        text.unlink()
        text = new_text
        tally["near_duplicates"] = int(dropped.sum())
    with text.open("rb") as lines, target.open("wb") as file:
        file.writelines(_kept(lines, dropped))
    tally["written"] = candidates - tally["duplicates"] - tally["near_duplicates"]


def _kept(lines: BinaryIO, dropped: RowMask) -> Iterator[bytes]:
    return compress(lines, ~dropped)
