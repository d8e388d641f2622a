"""What a run tells while it goes on; printing is the listener's business."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from simcse_kit.tabular import html_table

if TYPE_CHECKING:
    import pandas as pd


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
    batch_size: int  # rows on each device
    devices: int
    mini_batches: bool  # a step goes through its batch in parts
    left_out: int  # rows that each epoch leaves out, others each time: too few for a batch of their own
    held_out: int  # sentences kept from training to rank checkpoints by
    negatives: int  # that each sentence sees
    steps: int
    epochs: float
    learning_rate: float
    temperature: float
    pooling: str
    pooling_origin: str  # argument, recipe, folder, table, default
    train_head: str
    objective: str  # with what was added to it
    device: str
    precision: str
    seed: int
    eval_source: str | None
    eval_pairs: int
    select: str  # how the best checkpoint is chosen: eval-data, dropout-twins, last
    speedups: tuple[str, ...]  # exact ones that the backbone and the device allow
    eval_steps: int
    resumed_from: int | None  # step of the checkpoint
    classes: int = 0  # of texts with classes; 0: the rows are others
    fitted: tuple[str, ...] = ()  # settings that were chosen for this number of rows

    def rows_until(self, step: int) -> int:
        """Rows that have been trained on after ``step`` steps; the last batch of an epoch may be short, those of rows
        with classes are about equal."""
        size, used = self.batch_size * self.devices, self.rows - self.left_out
        each = -(-used // size)
        epochs, steps = divmod(step, each)
        return epochs * used + (round(steps * used / each) if self.classes else min(steps * size, used))


class TrainResult(NamedTuple):
    """How a run ended."""

    output_dir: Path
    steps: int
    select: str  # how the best checkpoint was chosen: eval-data, dropout-twins, last
    best_step: int | None  # whose weights were saved; 0: the start model's; None: the last, chosen by no score
    best_score: float | None  # of best_step: Spearman x 100 on the evaluation data; dropout-twins: that score
    start_score: float | None  # of the start model; None without one
    seconds: float  # from the first step, or from the checkpoint that was resumed, to the last
    rows: int  # that were trained on in this time, each epoch's anew

    @property
    def start_was_better(self) -> bool:
        """Whether the start model is what was saved: no checkpoint scored higher."""
        return self.best_step == 0

    @property
    def sentences_per_second(self) -> float:
        """Rows trained on in a second, evaluation and checkpoints included."""
        return self.rows / max(self.seconds, 1e-9)

    def to_dataframe(self) -> pd.DataFrame:
        """The run's log: a row for each line of ``metrics.jsonl``, with the step, the loss and the scores."""
        import pandas as pd

        from simcse_kit.training.record import read_metrics

        return pd.DataFrame(read_metrics(self.output_dir))

    def _repr_html_(self) -> str:
        return html_table([{"run": name, "": str(value)} for name, value in self._asdict().items()])


class TrainListener:
    """Hears what a run does; override what is wanted."""

    def started(self, plan: TrainPlan) -> None:
        """Before the first step, when every check has passed."""

    def stepped(self, step: int, steps: int) -> None:
        """After each step."""

    def logged(self, step: int, metrics: dict[str, float]) -> None:
        """With each line of ``metrics.jsonl``: loss, mean_cosine and effective_rank of a batch, or an evaluation's
        eval_spearman, eval_alignment and eval_uniformity, eval_label_free and what belongs to it."""

    def finished(self, result: TrainResult) -> None:
        """After the model was saved."""
