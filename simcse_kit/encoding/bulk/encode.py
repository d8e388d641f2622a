"""`encode_files`: a corpus of any size to one file of vectors, in bounded memory, resumable."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Never

from numpy.typing import NDArray

from simcse_kit.bars import tqdm
from simcse_kit.data.files import files_of
from simcse_kit.data.source import Shard, Source, count_rows
from simcse_kit.encoder.call import listening, moving, say_cut
from simcse_kit.encoding.bulk.formats import (
    FRONT,
    check_suffix,
    hash_of_ranges,
    header_bytes,
    row_bytes,
    stored,
    width,
    write_header,
    write_parquet,
)
from simcse_kit.encoding.bulk.journal import Journal, working_folder
from simcse_kit.encoding.bulk.precisions import FILE_PRECISIONS, FilePrecision
from simcse_kit.errors import DataError
from simcse_kit.files import disk_full_named, sync
from simcse_kit.model import SimCSE
from simcse_kit.parts import check_keywords, keywords_of

if TYPE_CHECKING:
    from simcse_kit.losses.similarity import ArrayLike

SHARD = 1 << 15  # rows


class EncodeCounts(NamedTuple):
    """Counts of rows read and written."""

    files: int
    ignored_files: int  # files of unknown kind in a folder
    empty_files: int  # of 0 bytes
    rows: int  # vectors
    blank: int  # of these, rows without a text, encoded like the empty text
    skipped: int  # bad rows, only with skip_bad_rows
    resumed_at: int  # rows done by an interrupted run
    truncated: int = 0  # rows longer than the model's limit, which were cut


def encode_files(
    model: SimCSE,
    source: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    precision: FilePrecision = "float32",
    ranges: ArrayLike | None = None,
    normalize_embeddings: bool = False,
    texts: bool = False,
    columns: Sequence[str] | None = None,
    id_column: str | None = None,
    header: bool | None = None,
    prompt_name: str | None = None,
    batch_size: int | None = None,
    shard_size: int = SHARD,
    skip_bad_rows: bool = False,
    overwrite: bool = False,
    show_progress_bar: bool = False,
    **unknown: Never,
) -> EncodeCounts:
    """Encode every row of files into one file of vectors, in order.

    Memory holds ``shard_size`` rows, for any corpus. After a kill, the same call continues and gives the same file;
    until then, vectors are in a hidden folder beside ``output``, which is written atomically. Blank rows have vectors
    too, so that row i is row i of the input.

    Args:
        model: the model.
        source: files (formats as in `simcse_kit.data.read_sentences`), or folders of such files.
        output: ``.npy`` (N, D), for ``np.load(mmap_mode="r")``; ``.safetensors``, the tensor ``vectors``; ``.parquet``
            with the columns id, text (if requested) and vector.
        precision: float32, float16, int8 or binary (one bit per dimension, D/8 bytes, packed as in
            sentence-transformers).
        ranges: for int8, as in `SimCSE.encode`: smallest and largest value of each dimension (2, D). None: the model's
            ``int8_ranges``; without these, each vector is scaled by its own largest value, which keeps cosines.
        normalize_embeddings: first scale to length 1.
        texts: write the texts too (.parquet).
        columns: the text column; None finds it.
        id_column: column of string or integer ids, for .parquet; None numbers the rows from 0.
        header: whether the first row of .csv and .tsv files holds names; None detects it.
        prompt_name: one of the model's prompts, as in `SimCSE.encode`.
        batch_size: sentences per forward pass; None: the fastest number.
        shard_size: rows that are read, encoded and committed at a time.
        skip_bad_rows: skip and count rows that cannot be read, instead of a `DataError`.
        overwrite: replace ``output``, and delete an interrupted run of another kind.
        show_progress_bar: show one.

    Raises:
        DataError: a file, row or argument cannot be used, or there is an interrupted run on other data, another model
            or with other arguments.
        DiskFullError: the disk is full; finished shards stay, and the same call continues.
        ValueError: the ranges are not valid.
        TypeError: an ``unknown`` argument; the text gives the nearest one.
    """
    check_keywords(unknown, keywords_of(encode_files), "encode_files", TypeError)
    target = Path(output)
    named = [source] if isinstance(source, str | Path) else list(source)
    tally: Counter[str] = Counter()
    files = files_of(named, tally)
    ranges = model.ranges_for(precision, ranges, model.get_embedding_dimension())
    task = _Task(
        Source(files, columns, id_column, header, skip_bad_rows),
        partial(
            model.encode,
            prompt_name=prompt_name,
            batch_size=batch_size,
            normalize_embeddings=normalize_embeddings,
            ranges=ranges,
        ),
        target,
        shard_size,
        precision,
        model.get_embedding_dimension(),
        texts,
        {"model": model.name, "fingerprint": model.fingerprint(), "precision": precision},
    )
    task.check()
    run = {
        "model": model.fingerprint(),
        "backend": f"{model.backend.name} {model.backend.dtype}",
        "prompt_name": prompt_name,
        "normalize_embeddings": normalize_embeddings,
        "precision": precision,
        "int8_ranges": hash_of_ranges(ranges),
        "row_bytes": row_bytes(precision, task.dimension),
        "format": target.suffix.lower(),
        "shard_size": shard_size,
        "files": list(files),
        "columns": None if columns is None else list(columns),
        "id_column": id_column,
        "skip_bad_rows": skip_bad_rows,
    }
    with disk_full_named(target), working_folder(target) as folder:
        journal = Journal(folder, run, front=task.front, replace=overwrite)
        resumed_at = journal.rows
        if not (journal.finished and target.exists() and not task.whole(journal).exists()):
            if target.exists() and not overwrite:
                raise DataError(f"{target} already exists; name another file, or use --overwrite (overwrite=True)")
            task.encode_shards(journal, show_progress_bar=show_progress_bar)
            if not journal.rows:
                raise DataError(f"{', '.join(map(str, named))}: no row is left ({len(task.source.skipped)} skipped)")
            task.finish(journal)
    truncated = sum(shard.truncated for shard in journal.shards)
    say_cut(truncated, journal.rows, model.name, model.max_seq_length)
    return EncodeCounts(
        files=len(files),
        ignored_files=tally["ignored_files"],
        empty_files=tally["empty_files"],
        rows=journal.rows,
        blank=sum(shard.blank for shard in journal.shards),
        skipped=len(task.source.skipped),
        resumed_at=resumed_at,
        truncated=truncated,
    )


def check_files(source: str | Path | Sequence[str | Path], output: str | Path) -> None:
    """The checks of `encode_files` on its files, before a model is loaded."""
    files_of([source] if isinstance(source, str | Path) else list(source), Counter())
    check_suffix(Path(output))


@dataclass(frozen=True)
class _Task:
    """Arguments of `encode_files`."""

    source: Source
    encode: Callable[..., NDArray[Any]]
    target: Path
    shard_size: int
    precision: FilePrecision
    dimension: int
    texts: bool
    about: dict[str, Any]  # for the file's own metadata

    @property
    def suffix(self) -> str:
        return self.target.suffix.lower()

    @property
    def front(self) -> int:
        """Bytes before the vectors."""
        return 0 if self.suffix == ".parquet" else FRONT

    def check(self) -> None:
        """Raise a `DataError` for invalid arguments, before any work."""
        check_suffix(self.target)
        if self.precision not in FILE_PRECISIONS:
            raise DataError(f"precision must be one of {', '.join(FILE_PRECISIONS)}; got {self.precision!r}")
        if self.shard_size < 1:
            raise DataError(f"shard_size must be at least 1; got {self.shard_size}")
        if self.suffix != ".parquet" and (self.texts or self.source.id_column is not None):
            raise DataError(f"texts and ids need an output that ends in .parquet; got {self.target}")
        if self.target.is_dir():
            raise DataError(f"{self.target} is a folder; name a file in it")
        if not self.target.absolute().parent.is_dir():
            raise DataError(f"the folder {self.target.absolute().parent} does not exist")
        if any(Path(file).expanduser().resolve() == self.target.resolve() for file in self.source.files):
            raise DataError(f"{self.target} is also an input; name another output")

    def encode_shards(self, journal: Journal, *, show_progress_bar: bool) -> None:
        """Encode what is missing in the journal; rows that it has are read again and compared."""
        total = count_rows(self.source.files) if show_progress_bar else None
        seen, done = 0, journal.rows
        with tqdm(total=total, desc="Encoding", unit="row", disable=not show_progress_bar) as progress:
            for number, shard in enumerate(self.source.shards(self.shard_size)):
                count = len(shard.texts)
                seen += count
                if number < len(journal.shards):
                    if (count, shard.digest) != (journal.shards[number].rows, journal.shards[number].digest):
                        raise _changed(journal)
                    progress.update(count)
                    continue
                with listening(moving(progress, count, count)) as heard:
                    vectors = stored(self.encode, shard.texts, self.precision)
                journal.append(vectors, shard.digest, shard.texts.count(""), heard.truncated)
        if seen < done:
            raise _changed(journal)

    def whole(self, journal: Journal) -> Path:
        """File that becomes the output: the journal's vectors, or a file made from them."""
        return journal.folder / "whole" if self.suffix == ".parquet" else journal.vectors

    def finish(self, journal: Journal) -> None:
        """Make the output from the journal's vectors, atomically."""
        rows, columns = journal.rows, width(self.precision, self.dimension)
        whole = self.whole(journal)
        if self.suffix == ".parquet":
            write_parquet(
                whole,
                self._again(journal),
                journal.blocks(),
                columns=columns,
                precision=self.precision,
                texts=self.texts,
                about=self.about,
            )
            sync(whole)
        else:
            write_header(whole, header_bytes(self.suffix, rows, columns, self.precision, self.about))
        journal.finish()
        os.replace(whole, self.target)
        sync(self.target.absolute().parent)

    def _again(self, journal: Journal) -> Iterator[Shard]:
        """The shards from the start, which must match the encoded ones."""
        again = replace(self.source).shards(self.shard_size)
        for shard, record in zip_longest(again, journal.shards):
            if shard is None or record is None or shard.digest != record.digest:
                raise _changed(journal)
            yield shard


def _changed(journal: Journal) -> DataError:
    return DataError(
        f"the input has changed since {journal.rows} of its rows were encoded (stored in {journal.folder}): "
        "delete that folder, or name another output"
    )
