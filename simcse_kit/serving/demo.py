"""From a text file to a search page: the index is built once and opened on later calls."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import xxhash

from simcse_kit.data import sample_sentences_path
from simcse_kit.encoder.known import MINILM
from simcse_kit.index import IndexCounts, build_index
from simcse_kit.index.sentence_index import SentenceIndex
from simcse_kit.model import SimCSE

FOLDER = Path("simcse-kit-demo")


def demo_index(
    sentences: str | Path | None = None,
    model: SimCSE | str | Path = MINILM,
    *,
    columns: Sequence[str] | None = None,
    folder: str | Path = FOLDER,
    show_progress_bar: bool = False,
) -> tuple[SentenceIndex, IndexCounts | None]:
    """The index of a file of sentences (None: the package's sample), built under ``folder`` unless it exists.

    Another content of the file, other columns or another model give another index. Counts are None if it was opened.

    Raises:
        DataError: the file cannot be read, or holds no sentences.
        ModelError: the model cannot be loaded.
    """
    source = sample_sentences_path() if sentences is None else Path(sentences)
    encoder = model if isinstance(model, SimCSE) else SimCSE(model)
    content = xxhash.xxh3_64()
    if source.is_file():
        with source.open("rb") as file:
            while block := file.read(1 << 20):
                content.update(block)
    content.update(repr((str(source.name), columns, encoder.fingerprint())).encode())
    target = Path(folder) / f"{source.name.partition('.')[0]}-{content.hexdigest()[:8]}"
    if target.is_dir():
        return SentenceIndex.open(target, encoder), None
    target.parent.mkdir(parents=True, exist_ok=True)
    return build_index(
        encoder,
        str(sentences) if sentences is not None else source,
        target,
        columns=columns,
        show_progress_bar=show_progress_bar,
    )
