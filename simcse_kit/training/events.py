"""Events of a training run; a listener decides whether to print them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from simcse_kit.tabular import html_table

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class TrainPlan:
    """The plan of a run, known before its first step."""

    mode: str
    model: str
    output_dir: Path
    rows: int
    columns: int  # sentences per row
    empty: int  # dropped blank rows
    skipped: int  # skipped bad rows, if skipping was requested
    tokens: int  # over all rows, after cutting
    truncated: int  # sentences cut at max_seq_length
    max_seq_length: int
    batch_size: int  # rows on each device
    devices: int
    mini_batches: bool  # each step splits its batch
    left_out: int  # rows left out of each epoch, different ones each time: too few for a batch
    held_out: int  # sentences not trained on, used to rank checkpoints
    negatives: int  # negatives that each sentence sees
    steps: int
    epochs: float
    learning_rate: float
    temperature: float
    pooling: str
    pooling_origin: str  # argument, recipe, folder, table, default
    train_head: str
    objective: str  # with its additions
    device: str
    precision: str
    seed: int
    eval_source: str | None
    eval_pairs: int
    select: str  # what selects the best checkpoint: eval-data, dropout-twins, last
    speedups: tuple[str, ...]  # exact speed-ups that backbone and device allow
    eval_steps: int
    resumed_from: int | None  # step of the checkpoint
    classes: int = 0  # number of classes; 0: rows without classes
    fitted: tuple[str, ...] = ()  # settings that were adapted to the number of rows

    def rows_until(self, step: int) -> int:
        """Rows trained on after ``step`` steps. The last batch of an epoch may be short; batches of labelled rows are
        about equal.
        """
        size, used = self.batch_size * self.devices, self.rows - self.left_out
        each = -(-used // size)
        epochs, steps = divmod(step, each)
        return epochs * used + (round(steps * used / each) if self.classes else min(steps * size, used))


class TrainResult(NamedTuple):
    """The result of a run."""

    output_dir: Path
    steps: int
    select: str  # what selected the best checkpoint: eval-data, dropout-twins, last
    best_step: int | None  # step of the saved weights; 0: the start model's; None: the last step, without scores
    best_score: float | None  # score of best_step: Spearman x 100 on the evaluation data, or the dropout-twins score
    start_score: float | None  # score of the start model; None without one
    seconds: float  # time from the first step, or from the resumed checkpoint, to the last
    rows: int  # rows trained on in this time, counted in each epoch

    @property
    def start_was_better(self) -> bool:
        """Whether the start model was saved, because no checkpoint scored higher."""
        return self.best_step == 0

    @property
    def sentences_per_second(self) -> float:
        """Rows trained on per second, including evaluation and checkpoints."""
        return self.rows / max(self.seconds, 1e-9)

    def to_dataframe(self) -> pd.DataFrame:
        """The run's log: one row per line of ``metrics.jsonl``, with step, loss and scores."""
        import pandas as pd

        from simcse_kit.training.record import read_metrics

        return pd.DataFrame(read_metrics(self.output_dir))

    def _repr_html_(self) -> str:
        return html_table([{"run": name, "": str(value)} for name, value in self._asdict().items()])


class TrainListener:
    """Receives the events of a run; override the methods you need."""

    def started(self, plan: TrainPlan) -> None:
        """Before the first step, after all checks."""

    def stepped(self, step: int, steps: int) -> None:
        """After each step."""

    def logged(self, step: int, metrics: dict[str, float]) -> None:
        """With each line of ``metrics.jsonl``: loss, mean_cosine and effective_rank of a batch, or the results of an
        evaluation: eval_spearman, eval_alignment and eval_uniformity, or eval_label_free and related values.
        """

    def finished(self, result: TrainResult) -> None:
        """After the model is saved."""
