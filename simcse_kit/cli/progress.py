"""Progress of a training run on the terminal."""

from __future__ import annotations

import sys
from typing import Any

from simcse_kit.bars import tqdm
from simcse_kit.cli.console import err, facts
from simcse_kit.training.events import TrainListener, TrainPlan, TrainResult
from simcse_kit.wording import counted

_ORIGIN = {
    "argument": "as asked",
    "recipe": "from the recipe",
    "folder": "from the model's folder",
    "table": "of this known checkpoint",
    "default": "the default",
}
_HEADS = {
    "mlp": "dense + tanh head, used in the loss only",
    "projection": "projection head, used in the loss only",
    "none": "no extra head",
}
_SAVED = "the best checkpoint is saved, or the start model if no checkpoint scores higher"


class TerminalListener(TrainListener):
    """Prints the plan of the run, a bar with loss and score, and the result, all on standard error."""

    def __init__(self, *, show_plan: bool = True) -> None:
        self._show_plan = show_plan
        self._bar: Any = None
        self._notes: dict[str, str] = {}

    def started(self, plan: TrainPlan) -> None:
        """Print the plan and start the bar."""
        if self._show_plan:
            err().print(facts(_plan_facts(plan)))
        if plan.resumed_from is not None:
            err().print(f"continuing from step {plan.resumed_from}")
        self.close()  # from a previous run
        self._notes.clear()
        self._bar = tqdm(total=plan.steps, initial=plan.resumed_from or 0, desc="Training", unit="step")

    def stepped(self, step: int, steps: int) -> None:
        """Move the bar."""
        self._bar.total = steps
        self._bar.update(step - self._bar.n)

    def logged(self, step: int, metrics: dict[str, float]) -> None:
        """Show the last loss and score after the bar; print each score on its own line."""
        if "loss" in metrics:
            self._notes["loss"] = f"loss {metrics['loss']:.4f}"
        parts = []
        if "eval_spearman" in metrics:
            self._notes["score"] = f"Spearman {metrics['eval_spearman']:.2f}"
            parts.append(
                f"Spearman {metrics['eval_spearman']:6.2f}   alignment {metrics['eval_alignment']:.3f}   "
                f"uniformity {metrics['eval_uniformity']:.3f}"
            )
        if "eval_label_free" in metrics:
            parts.append(
                f"dropout twins {metrics['eval_label_free']:.3f}, {metrics['eval_twin_retrieval']:5.1f} % found"
            )
        if parts:
            with self._bar.external_write_mode(file=sys.stderr):
                err().print(f"step {step:>6}   {'   '.join(parts)}")
        self._bar.set_postfix_str("  ".join(self._notes.values()))

    def finished(self, result: TrainResult) -> None:
        """End the bar."""
        self.close()

    def close(self) -> None:
        """Close the bar after success or failure."""
        if self._bar is not None:
            self._bar.close()


def _plan_facts(plan: TrainPlan) -> list[tuple[str, object]]:
    per_row = {1: "sentences", 2: "pairs", 3: "triplets"}[plan.columns]
    per_row = f"texts of {counted(plan.classes, 'class')}" if plan.classes else per_row
    fitted = {name: " (small data set)" if name in plan.fitted else "" for name in ("batch_size", "epochs")}
    epochs = f"{plan.epochs:g} epoch{'s' * (plan.epochs != 1)}{fitted['epochs']}"
    dropped = f", {plan.empty} empty dropped" if plan.empty else ""
    dropped += f", {plan.skipped} bad rows skipped" if plan.skipped else ""
    dropped += f", {plan.held_out} sentences held out" if plan.held_out else ""
    cut = f", {counted(plan.truncated, 'sentence')} cut at {plan.max_seq_length} tokens" if plan.truncated else ""
    head = _HEADS[plan.train_head]
    batch = f"{plan.batch_size}{fitted['batch_size']}" + (
        f" on each of {plan.devices} devices" if plan.devices > 1 else ""
    )
    batch += f": each sentence sees {plan.negatives} negatives" if plan.negatives else ""
    batch += ", in mini-batches" if plan.mini_batches else ""
    batch += f"; each epoch leaves out {plan.left_out} different rows" if plan.left_out else ""
    fast = f"; faster by {', '.join(plan.speedups)}" if plan.speedups else ""
    return [
        ("data", f"{plan.rows:,} {per_row}, {counted(plan.tokens, 'token')}{cut}{dropped}"),
        ("model", f"{plan.model} -> {plan.output_dir}"),
        ("pooling", f"{plan.pooling} ({_ORIGIN.get(plan.pooling_origin, plan.pooling_origin)}); in training: {head}"),
        ("batch", batch),
        ("steps", f"{plan.steps:,} ({epochs}), learning rate {plan.learning_rate:g}, decays to 0"),
        ("loss", f"{plan.objective}, temperature {plan.temperature:g}"),
        ("evaluation", _evaluation(plan)),
        ("device", f"{plan.device}, {plan.precision}, seed {plan.seed}{fast}"),
    ]


def _evaluation(plan: TrainPlan) -> str:
    often = f"every {counted(plan.eval_steps, 'step')}"
    pairs = "" if plan.eval_source is None else f"{plan.eval_source}, {counted(plan.eval_pairs, 'pair')}, {often}"
    if plan.select == "eval-data":
        return f"{pairs}; {_SAVED}"
    if plan.select == "dropout-twins":
        return (
            f"dropout-twins, {often}: how well two dropout views of {plan.held_out} held-out sentences find "
            f"each other; no measure of search; {_SAVED}" + (f"; also {pairs}" if pairs else "")
        )
    return f"{pairs or 'none'}: the last weights are saved"
