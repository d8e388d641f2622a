"""Number formats in files of vectors. No heavy import, so that the command line can list them."""

from __future__ import annotations

from typing import Literal, NamedTuple

FilePrecision = Literal["float32", "float16", "int8", "binary"]


class VectorFormat(NamedTuple):
    """Format of a stored vector."""

    dtype: str  # numpy's name
    safetensors: str
    per_byte: int  # dimensions per byte, 0 if a dimension takes one byte or more
    encoded: str  # precision of `SimCSE.encode` from which it is made


FILE_PRECISIONS: dict[FilePrecision, VectorFormat] = {
    "float32": VectorFormat("float32", "F32", 0, "float32"),
    "float16": VectorFormat("float16", "F16", 0, "float32"),
    "int8": VectorFormat("int8", "I8", 0, "int8"),
    "binary": VectorFormat("int8", "I8", 8, "binary"),
}
"""int8 uses the given ranges or the model's; otherwise each vector's largest value becomes 127: cosines stay."""
