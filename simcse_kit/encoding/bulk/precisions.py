"""How a file of vectors stores a number; nothing heavy is imported, so that the command line can list the choices."""

from __future__ import annotations

from typing import Literal, NamedTuple

FilePrecision = Literal["float32", "float16", "int8", "binary"]


class VectorFormat(NamedTuple):
    """How one vector is stored."""

    dtype: str  # numpy's name
    safetensors: str
    per_byte: int  # dimensions in a byte, 0 where a dimension takes one or more
    encoded: str  # precision of `SimCSE.encode` that it is made from


FILE_PRECISIONS: dict[FilePrecision, VectorFormat] = {
    "float32": VectorFormat("float32", "F32", 0, "float32"),
    "float16": VectorFormat("float16", "F16", 0, "float32"),
    "int8": VectorFormat("int8", "I8", 0, "int8"),
    "binary": VectorFormat("int8", "I8", 8, "binary"),
}
"""int8 is by the ranges given or the model's, else each vector's own: its largest value becomes 127; cosines stay."""
