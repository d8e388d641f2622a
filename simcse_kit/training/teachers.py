"""Teachers' vectors of the training texts, computed once before the first step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from simcse_kit.data import TextData
from simcse_kit.encoder.poolers import POOLERS
from simcse_kit.errors import ModelError
from simcse_kit.model import SimCSE


def teacher_name(name: str) -> str:
    """The model's own name in ``NAME`` or ``NAME:POOLING``."""
    path, _, pooling = name.rpartition(":")
    return path if path and pooling in POOLERS else name


def load_teacher(name: str, *, device: str, trust_remote_code: bool = False, local_files_only: bool = False) -> SimCSE:
    """A model by ``NAME`` or ``NAME:POOLING``."""
    path = teacher_name(name)
    try:
        return SimCSE(
            path,
            pooling=None if path == name else name.rpartition(":")[2],
            device=device,
            trust_remote_code=trust_remote_code,
            local_files_only=local_files_only,
        )
    except ModelError as error:
        raise ModelError(f"teacher {name}: {error} (a teacher's pooling is written NAME:POOLING)") from error


def teacher_vectors(teacher: SimCSE, data: TextData, *, show_progress_bar: bool) -> NDArray[np.float32]:
    """Unit vectors of anchors and positives, (N, 2, D); of sentences, (N, 1, D). Distinct texts are encoded once."""
    columns = [data.column(i) for i in range(min(data.width, 2))]
    distinct: Sequence[str] = list(dict.fromkeys(text for column in columns for text in column))
    vectors = teacher.encode(
        distinct, batch_size=64, normalize_embeddings=True, show_progress_bar=show_progress_bar and len(distinct) > 500
    )
    place = {text: i for i, text in enumerate(distinct)}
    return np.stack([vectors[[place[text] for text in column]] for column in columns], axis=1)
