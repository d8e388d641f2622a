"""Lives of a run, each in a process that can be killed; a fork server starts one in 0.5 s instead of 5."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NamedTuple

KILLED = -signal.SIGKILL
INTERRUPTED = 3
FINISHED = 0


class Death(NamedTuple):
    """Where a life ends."""

    where: str  # started, step, logged, saving, renamed, model; ctrl-c: SIGINT, a checkpoint, the end
    step: int = 0


class Plot(NamedTuple):
    """A run: everything that its lives have in common."""

    mode: str
    data: Any
    settings: dict[str, Any]


_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    ["simcse_kit.training.fit", "simcse_kit.index.build", "transformers.models.bert.modeling_bert"]
)


def live(plot: Plot, folder: Path, death: Death | None = None, *, resume: bool = True) -> int:
    """Start or resume a run in a new process, to its end or to ``death``; returns the process's exit code."""
    return in_a_process(_live, plot, folder, death, resume)


def in_a_process(function: Callable[..., object], *arguments: object) -> int:
    """Call a function of a module in a new process; returns the process's exit code."""
    process: BaseProcess = _context.Process(target=function, args=arguments)
    process.start()
    process.join(120)
    assert process.exitcode is not None
    return process.exitcode


def _live(plot: Plot, folder: Path, death: Death | None, resume: bool) -> None:
    import torch

    from simcse_kit.errors import TrainingInterrupted
    from simcse_kit.training.run import train_sup, train_unsup

    torch.set_num_threads(1)
    listener = _listener(death)
    if death is not None:
        _arm(death)
    train = train_unsup if plot.mode == "unsup" else train_sup
    try:
        train(plot.data, folder, resume=resume, listener=listener, device="cpu", **plot.settings)
    except TrainingInterrupted:
        os._exit(INTERRUPTED)


def _listener(death: Death | None) -> Any:
    from simcse_kit.training.events import TrainListener, TrainPlan

    class Mortal(TrainListener):
        def started(self, plan: TrainPlan) -> None:
            self._die("started", 0)

        def stepped(self, step: int, steps: int) -> None:
            self._die("step", step)
            if death == Death("ctrl-c", step):
                signal.raise_signal(signal.SIGINT)

        def logged(self, step: int, metrics: dict[str, float]) -> None:
            self._die("logged", step)

        def _die(self, where: str, step: int) -> None:
            if death == Death(where, step):
                os.kill(os.getpid(), signal.SIGKILL)

    return Mortal()


def _arm(death: Death) -> None:
    """Die inside a checkpoint (before its last files), between its renaming and the rotation, or saving the model."""
    from simcse_kit.training import fit, trainer

    def die(*args: Any, **kwargs: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    if death.where == "saving":
        save_rng_state = trainer.ContrastiveTrainer._save_rng_state

        def save(self: Any, output_dir: str) -> None:
            if self.state.global_step == death.step:
                die()
            save_rng_state(self, output_dir)

        trainer.ContrastiveTrainer._save_rng_state = save  # type: ignore[method-assign]
    elif death.where == "renamed":
        rotate = trainer.rotate_checkpoints

        def rotate_or_die(run: Path) -> None:
            if (run / f"checkpoint-{death.step}").is_dir():
                die()
            rotate(run)

        trainer.rotate_checkpoints = rotate_or_die
    elif death.where == "model":
        fit._save = die
