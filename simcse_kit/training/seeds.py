"""One run under several seeds: how much of its result is chance."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from simcse_kit.errors import TrainingError
from simcse_kit.files import as_written, read_json, write_json
from simcse_kit.launch import world
from simcse_kit.tabular import html_table
from simcse_kit.training.events import TrainResult
from simcse_kit.training.output import RUN_RECORD, check_output
from simcse_kit.training.run import train_sup, train_unsup
from simcse_kit.training.settings import check_known
from simcse_kit.wording import counted

if TYPE_CHECKING:
    import pandas as pd

    from simcse_kit.training.job import TrainData

SUMMARY = "seeds.json"


class SeedsResult(NamedTuple):
    """Runs of one setting with statistics of their scores; nan without a score (spread: also with one run)."""

    runs: dict[int, TrainResult]  # by seed
    mean: float
    spread: float  # standard deviation over the seeds (N - 1)
    best_seed: int | None  # highest score; None without evaluation data

    def to_dataframe(self) -> pd.DataFrame:
        """One row per seed."""
        import pandas as pd

        return pd.DataFrame(self._records())

    def _records(self) -> list[dict[str, Any]]:
        return [{"seed": seed, **run._asdict(), "output_dir": str(run.output_dir)} for seed, run in self.runs.items()]

    def _repr_html_(self) -> str:
        spread = "" if math.isnan(self.spread) else f" ± {self.spread:.2f}"
        score = "" if math.isnan(self.mean) else f"score {self.mean:.2f}{spread} over {counted(len(self.runs), 'seed')}"
        return html_table(self._records(), score)


def train_seeds(
    mode: str, data: TrainData, output_dir: str | Path, seeds: Sequence[int], **settings: Any
) -> SeedsResult:
    """Train once per seed, into ``output_dir/seed-N``, and write ``seeds.json`` there.

    ``mode`` and other arguments as for `train_unsup` and `train_sup`. With ``resume``, started runs continue and
    missing ones start.
    """
    check_known(settings, "train_seeds")
    if len(set(seeds)) != len(seeds) or not seeds:
        raise TrainingError(f"seeds must be different numbers; got {', '.join(map(str, seeds)) or 'none'}")
    if settings.get("seed") is not None:
        raise TrainingError("give either seed or seeds")
    for seed in seeds:
        begun = (Path(output_dir) / f"seed-{seed}" / RUN_RECORD).is_file()
        check_output(
            Path(output_dir) / f"seed-{seed}",
            resume=settings.get("resume", False) and begun,
            overwrite=settings.get("overwrite", False),
        )
    train = train_unsup if mode == "unsup" else train_sup
    folder = Path(output_dir)
    runs: dict[int, TrainResult] = {}
    for seed in seeds:
        run = folder / f"seed-{seed}"
        begun = (run / RUN_RECORD).is_file()
        runs[seed] = train(data, run, **settings | {"seed": seed, "resume": settings.get("resume", False) and begun})
    result = summarise(runs)
    if world().rank == 0:
        write_json(folder / SUMMARY, _summary(result))
    from simcse_kit.distributed import barrier  # torch is already imported

    barrier()
    return result


def seed_models(folder: str | Path) -> list[Path]:
    """The models in a folder written by `train_seeds`, in the order of their seeds; empty for another folder."""
    summary = Path(folder) / SUMMARY
    if not summary.is_file():
        return []
    with as_written(summary, TrainingError):
        return [Path(folder) / run["folder"] for run in read_json(summary, TrainingError)["runs"].values()]


def summarise(runs: dict[int, TrainResult]) -> SeedsResult:
    """Mean, spread and best of the runs' scores."""
    scores = {seed: run.best_score for seed, run in runs.items() if run.best_score is not None}
    return SeedsResult(
        runs=runs,
        mean=statistics.fmean(scores.values()) if scores else math.nan,
        spread=statistics.stdev(scores.values()) if len(scores) > 1 else math.nan,
        best_seed=max(scores, key=lambda seed: scores[seed]) if scores else None,
    )


def _summary(result: SeedsResult) -> dict[str, object]:
    return {
        "mean": None if math.isnan(result.mean) else result.mean,
        "spread": None if math.isnan(result.spread) else result.spread,
        "best_seed": result.best_seed,
        "runs": {
            str(seed): {"folder": run.output_dir.name, "best_step": run.best_step, "score": run.best_score}
            for seed, run in result.runs.items()
        },
    }
