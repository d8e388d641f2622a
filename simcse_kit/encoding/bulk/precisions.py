"""How a file of vectors stores a number; nothing heavy is imported, so that the command line can list the choices."""

from __future__ import annotations

from typing import Literal, NamedTuple

FilePrecision = Literal["float32", "float16", "int8", "binary"]


class VectorFormat(NamedTuple):
    """How one vector is stored."""

    dtype: str  # numpy's name
    safetensors: str
    per_byte: int  # dimensions in a byte, 0 where a dimension takes one or more


FILE_PRECISIONS: dict[FilePrecision, VectorFormat] = {
    "float32": VectorFormat("float32", "F32", 0),
    "float16": VectorFormat("float16", "F16", 0),
    "int8": VectorFormat("int8", "I8", 0),
    "binary": VectorFormat("int8", "I8", 8),
}
"""int8 is each vector's own: its largest value becomes 127, which leaves cosines as they are."""
