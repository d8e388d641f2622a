"""Teachers' vectors of the training texts, computed once before the first step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from simcse_kit.data import TextData
from simcse_kit.errors import ModelError
from simcse_kit.model import SimCSE
from simcse_kit.training.teacher_names import teacher_name, teacher_pooling


def load_teacher(name: str, *, device: str, trust_remote_code: bool = False, local_files_only: bool = False) -> SimCSE:
    """Load a model by ``NAME``, ``NAME:POOLING`` or, with a user's own pooling, ``NAME:MODULE:POOLER``."""
    model, pooling = teacher_name(name), teacher_pooling(name)
    try:
        return SimCSE(
            model,
            pooling=pooling,
            device=device,
            trust_remote_code=trust_remote_code,
            local_files_only=local_files_only,
        )
    except ModelError as error:
        raise ModelError(
            f"teacher {name}: {error} (write a teacher's pooling as NAME:POOLING, your own pooling as "
            "NAME:MODULE:POOLER)"
        ) from error


def teacher_vectors(teacher: SimCSE, data: TextData, *, show_progress_bar: bool) -> NDArray[np.float32]:
    """Unit vectors of anchors and positives, (N, 2, D); of sentences, (N, 1, D). Distinct texts are encoded once."""
    columns = [data.column(i) for i in range(min(data.width, 2))]
    distinct: Sequence[str] = list(dict.fromkeys(text for column in columns for text in column))
    vectors = teacher.encode(
        distinct, batch_size=64, normalize_embeddings=True, show_progress_bar=show_progress_bar and len(distinct) > 500
    )
    place = {text: i for i, text in enumerate(distinct)}
    return np.stack([vectors[[place[text] for text in column]] for column in columns], axis=1)
