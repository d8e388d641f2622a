"""Settings of a training run: what may be given, and what a run goes by: frozen, validated where it is made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypedDict

from simcse_kit.errors import TrainingError
from simcse_kit.pooling import pooling_name
from simcse_kit.training.events import TrainListener
from simcse_kit.training.recipes import recipes
from simcse_kit.types import ScoredPairs

MODES = ("unsup", "sup")
TRAIN_HEADS = ("mlp", "none")
_SEEDS = 2**32  # numpy takes no more


class TrainSettings(TypedDict, total=False):
    """Keyword arguments of `train_unsup` and `train_sup`; what is not given comes from the recipe or the mode."""

    model: str | Path | None  # folder or hub name to start from; needed unless the recipe names one
    recipe: str | None  # one of `simcse-kit recipes`
    eval_data: str | Path | ScoredPairs | None  # scored pairs; the best checkpoint by their Spearman is the result
    pooling: str | None
    train_head: str | None
    epochs: float | None
    batch_size: int | None
    learning_rate: float | None
    max_seq_length: int | None
    temperature: float | None
    hard_negative_weight: float | None
    mlm_weight: float | None
    dropout: float | None
    eval_steps: int | None
    seed: int | None
    bf16: bool | None
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


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What a run does. ``None`` in ``pooling`` leaves the choice to the model's folder, then to the mode's default."""

    mode: str  # "unsup": a sentence and itself; "sup": pairs or triplets
    model: str  # folder or hub name to start from
    pooling: str | None = None  # of the saved model
    train_head: str = "mlp"  # "mlp": dense + tanh in the loss only; "none"
    epochs: float = 1
    batch_size: int = 64  # sentences (or rows) a step and device
    learning_rate: float = 3e-5  # decays linearly to 0
    max_seq_length: int = 32  # tokens, in training only
    temperature: float = 0.05
    hard_negative_weight: float = 0.0  # added to the own hard negative's logit
    mlm_weight: float = 0.0  # of the masked-language-model term; 0 leaves it out
    dropout: float | None = None  # None: the backbone's own
    eval_steps: int = 125  # a checkpoint, and a score where there is evaluation data, every so many steps
    seed: int = 42
    bf16: bool | None = None  # None: on where an accelerator has it
    device: str | None = None
    report_to: str = "none"
    recipe: str | None = None  # the recipe that the settings came from

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise TrainingError(f"mode must be one of {', '.join(MODES)}; got {self.mode!r}")
        if self.train_head not in TRAIN_HEADS:
            raise TrainingError(f"train_head must be one of {', '.join(TRAIN_HEADS)}; got {self.train_head!r}")
        if self.pooling is not None:
            object.__setattr__(self, "pooling", pooling_name(self.pooling))
        if self.batch_size < 2:
            raise TrainingError(
                "batch_size must be at least 2: the other sentences of a batch are the negatives; "
                f"got {self.batch_size}"
            )
        numbers = {name: value for name, value in vars(self).items() if isinstance(value, float)}
        for name, value in numbers.items():
            if not math.isfinite(value):
                raise TrainingError(f"{name} must be a finite number; got {value}")
        for name in ("epochs", "learning_rate", "temperature", "max_seq_length", "eval_steps"):
            if getattr(self, name) <= 0:
                raise TrainingError(f"{name} must be above 0; got {getattr(self, name)}")
        if self.max_seq_length < 3:
            raise TrainingError(
                f"max_seq_length counts special tokens too and must be at least 3; got {self.max_seq_length}"
            )
        if self.mlm_weight < 0:
            raise TrainingError(f"mlm_weight must be at least 0; got {self.mlm_weight}")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise TrainingError(f"dropout must be at least 0 and below 1; got {self.dropout}")
        if not 0 <= self.seed < _SEEDS:
            raise TrainingError(f"seed must be at least 0 and below {_SEEDS}; got {self.seed}")

    def steps(self, rows: int) -> int:
        """Optimizer steps over ``rows`` rows; the last batch of an epoch may be short."""
        return math.ceil(-(-rows // self.batch_size) * self.epochs)


def make_config(mode: str, settings: TrainSettings) -> TrainConfig:
    """What a run goes by: the settings given, over the recipe's, over the mode's defaults."""
    recipe = settings.get("recipe")
    if recipe is not None and (recipe not in recipes() or recipes()[recipe]["mode"] != mode):
        allowed = [name for name, values in recipes().items() if values["mode"] == mode]
        raise TrainingError(f"recipe of train {mode} must be one of {', '.join(allowed)}; got {recipe!r}")
    base: dict[str, Any] = dict(recipes()[recipe or mode])
    if recipe is None:
        del base["pooling"]  # the mode's default comes last, after the model's folder
    names = {field.name for field in fields(TrainConfig)}
    given = {name: value for name, value in settings.items() if name in names and value is not None}
    values = base | given
    if not values.get("model"):
        raise TrainingError("name the model to start from: a folder or hub name, such as google-bert/bert-base-uncased")
    return TrainConfig(**values | {"model": str(values["model"])})
