"""What a run tells while it goes on; printing is the listener's business."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


@dataclass(frozen=True, kw_only=True)
class TrainPlan:
    """What a run is, known before its first step."""

    mode: str
    model: str
    output_dir: Path
    rows: int
    columns: int  # sentences in a row
    empty: int  # blank rows that were dropped
    skipped: int  # bad rows that were skipped, as asked
    tokens: int  # of all rows, after cutting
    truncated: int  # sentences cut at max_seq_length
    max_seq_length: int
    batch_size: int
    devices: int
    negatives: int  # that each sentence sees
    steps: int
    epochs: float
    learning_rate: float
    temperature: float
    pooling: str
    pooling_origin: str  # argument, recipe, folder, table, default
    train_head: str
    mlm_weight: float
    device: str
    precision: str
    seed: int
    eval_source: str | None
    eval_pairs: int
    eval_steps: int
    resumed_from: int | None  # step of the checkpoint

    def rows_until(self, step: int) -> int:
        """Rows that have been trained on after ``step`` steps; the last batch of an epoch may be short."""
        epochs, steps = divmod(step, -(-self.rows // self.batch_size))
        return epochs * self.rows + min(steps * self.batch_size, self.rows)


class TrainResult(NamedTuple):
    """How a run ended."""

    output_dir: Path
    steps: int
    best_step: int | None  # None without evaluation data
    best_score: float | None  # Spearman x 100 on the evaluation data
    start_score: float | None  # of the start model; None without evaluation data
    seconds: float  # from the first step, or from the checkpoint that was resumed, to the last
    rows: int  # that were trained on in this time, each epoch's anew

    @property
    def start_was_better(self) -> bool:
        """Whether the start model scored higher than every checkpoint: training made it worse on this measure."""
        return self.start_score is not None and self.best_score is not None and self.start_score > self.best_score

    @property
    def sentences_per_second(self) -> float:
        """Rows trained on in a second, evaluation and checkpoints included."""
        return self.rows / max(self.seconds, 1e-9)


class TrainListener:
    """Hears what a run does; override what is wanted."""

    def started(self, plan: TrainPlan) -> None:
        """Before the first step, when every check has passed."""

    def stepped(self, step: int, steps: int) -> None:
        """After each step."""

    def logged(self, step: int, metrics: dict[str, float]) -> None:
        """With each line of ``metrics.jsonl``: loss, or eval_spearman, eval_alignment and eval_uniformity."""

    def finished(self, result: TrainResult) -> None:
        """After the model was saved."""
