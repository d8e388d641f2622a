"""Files of vectors, .npy, .safetensors and .parquet, from the vectors' bytes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from simcse_kit.data.source import Shard
from simcse_kit.encoding.bulk.precisions import FILE_PRECISIONS, FilePrecision
from simcse_kit.errors import DataError

FRONT = 4096  # bytes for a padded header, which is written when the number of rows is known
SUFFIXES = (".npy", ".safetensors", ".parquet")
_MAGIC = b"\x93NUMPY\x01\x00"


def width(precision: FilePrecision, dimension: int) -> int:
    """Numbers in a stored vector of D dimensions."""
    how = FILE_PRECISIONS[precision]
    return -(-dimension // how.per_byte) if how.per_byte else dimension


def row_bytes(precision: FilePrecision, dimension: int) -> int:
    """Bytes in a stored vector of D dimensions."""
    return width(precision, dimension) * np.dtype(FILE_PRECISIONS[precision].dtype).itemsize


def stored(
    encode: Callable[..., NDArray[Any]], texts: list[str], precision: FilePrecision, **arguments: Any
) -> NDArray[Any]:
    """Vectors of N texts in stored form: (N, D), or (N, D/8) for binary (sentence-transformers' packing).

    ``encode`` and ``arguments`` are those of `SimCSE.encode`.
    """
    how = FILE_PRECISIONS[precision]
    return encode(texts, precision=how.encoded, **arguments).astype(how.dtype, copy=False)


def hash_of_ranges(ranges: NDArray[np.float32] | None) -> str | None:
    """Identity of the int8 ranges (2, D), which a resumed run compares."""
    return None if ranges is None else xxhash.xxh3_128_hexdigest(ranges.tobytes())


def check_suffix(output: Path) -> None:
    """Raise a `DataError` if the output's suffix is not a known format."""
    if output.suffix.lower() not in SUFFIXES:
        raise DataError(f"{output}: the name of the output must end in {', '.join(SUFFIXES)}")


def header_bytes(suffix: str, rows: int, columns: int, precision: FilePrecision, about: dict[str, str]) -> bytes:
    """The first `FRONT` bytes of a `.npy` or `.safetensors` file of (rows, columns)."""
    how = FILE_PRECISIONS[precision]
    if suffix == ".npy":
        described = {"descr": np.dtype(how.dtype).str, "fortran_order": False, "shape": (rows, columns)}
        length = FRONT - len(_MAGIC) - 2
        text = repr(described).encode("latin1").ljust(length - 1) + b"\n"
        return _MAGIC + length.to_bytes(2, "little") + text
    size = rows * columns * np.dtype(how.dtype).itemsize
    tensor = {"dtype": how.safetensors, "shape": [rows, columns], "data_offsets": [0, size]}
    text = json.dumps({"__metadata__": about, "vectors": tensor}, ensure_ascii=True).encode().ljust(FRONT - 8)
    if len(text) != FRONT - 8:
        raise DataError(f"the header has {len(text)} bytes, which is too long: use a shorter model name")
    return (FRONT - 8).to_bytes(8, "little") + text


def write_header(path: Path, content: bytes) -> None:
    """Write a header into the space before the vectors."""
    with path.open("r+b") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_parquet(
    path: Path,
    shards: Iterator[Shard],
    blocks: Iterator[bytes],
    *,
    columns: int,
    precision: FilePrecision,
    texts: bool,
    about: dict[str, str],
) -> None:
    """Columns id, text (if requested) and vector, a list of fixed size; one row group per shard."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kind = np.dtype(FILE_PRECISIONS[precision].dtype)
    writer = None
    try:
        for shard, block in zip(shards, blocks, strict=True):
            values = pa.array(np.frombuffer(block, kind))
            cells = {"id": pa.array(shard.ids)} | ({"text": pa.array(shard.texts)} if texts else {})
            cells["vector"] = pa.FixedSizeListArray.from_arrays(values, columns)
            table = pa.table(cells)
            if writer is None:
                writer = pq.ParquetWriter(path, table.schema.with_metadata(about), compression="zstd")
            writer.write_table(table.cast(writer.schema))
    finally:
        if writer is not None:
            writer.close()
