"""What may be given to `train_unsup` and `train_sup`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from simcse_kit.training.events import TrainListener
from simcse_kit.types import ScoredPairs


class TrainSettings(TypedDict, total=False):
    """Keyword arguments of `train_unsup` and `train_sup`; what is not given comes from the recipe or the mode.

    Those that `TrainConfig` has too are described there.
    """

    model: str | Path | None  # needed unless the recipe names one
    recipe: str | None
    objective: str | None
    eval_data: str | Path | ScoredPairs | None  # scored pairs; the best checkpoint by their Spearman is the result
    pooling: str | None
    train_head: str | None
    epochs: float | None
    batch_size: int | None
    mini_batch_size: int | None
    mini_batch_tokens: int | None
    learning_rate: float | None
    max_seq_length: int | None
    temperature: float | None
    learn_temperature: bool | None
    no_duplicates: bool | None
    false_negative_margin: float | None
    hard_negative_weight: float | None
    hardness_mode: str | None
    hardness_strength: float | None
    bidirectional: bool | None
    angular_margin: float | None
    momentum_queue: float | None
    noise_negatives: float | None
    matryoshka_dims: Sequence[int] | None
    augmentation: str | Sequence[str] | None
    template: str | None
    second_template: str | None
    template_denoising: bool | None
    teacher: str | Sequence[str] | None
    teacher_weight: float | None
    teacher_temperature: float | None
    ranking: str | None
    consistency_weight: float | None
    mlm_weight: float | None
    dropout: float | None
    lora_rank: int | None
    merge: bool | None
    gradient_checkpointing: bool | None
    select: str | None
    eval_steps: int | None
    seed: int | None
    bf16: bool | None
    torch_compile: bool | None
    device: str | None
    report_to: str | None
    columns: Sequence[str] | None  # of the data file
    header: bool | None  # of the data file; None: told from its first row
    skip_bad_rows: bool
    resume: bool
    overwrite: bool
    listener: TrainListener | None
    trust_remote_code: bool
    local_files_only: bool
