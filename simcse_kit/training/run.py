"""`train_unsup` and `train_sup`: from a file to a saved model."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Unpack

from simcse_kit.training.config import TrainSettings
from simcse_kit.training.events import TrainListener, TrainResult
from simcse_kit.training.job import Source, prepare
from simcse_kit.training.plan import make_plan
from simcse_kit.training.record import model_record, write_record

__all__ = ["TrainSettings", "train_sup", "train_unsup"]


def train_unsup(data: Source, output_dir: str | Path, **settings: Unpack[TrainSettings]) -> TrainResult:
    """Unsupervised SimCSE (Gao et al., 2021, section 3): a sentence and itself under another dropout mask.

    Args:
        data: a file (.txt, .csv, .tsv, .jsonl, .parquet, each also .gz), ``hf:NAME[:split]``, or the sentences
            themselves.
        output_dir: becomes the model; checkpoints, ``metrics.jsonl`` and ``run.json`` lie inside it.
        **settings: see `TrainSettings`; the defaults are the recipe ``unsup``.

    Raises:
        DataError: a row that cannot be used, with file and line.
        ModelError: the start model cannot be loaded, or the device is not there.
        TrainingError: a setting, the output folder or the disk is not fit; nothing has been created then.
        MissingExtraError: the package behind ``report_to`` is not installed; nothing has been created then.
        DiskFullError: the disk was full; the checkpoints before are whole.
        TrainingInterrupted: the user stopped the run; a checkpoint was saved.
    """
    return _train("unsup", data, Path(output_dir), settings)


def train_sup(data: Source, output_dir: str | Path, **settings: Unpack[TrainSettings]) -> TrainResult:
    """Supervised SimCSE (section 4): pairs (anchor, positive) or triplets with a hard negative, as from NLI.

    Arguments, result and errors as in `train_unsup`; the defaults are the recipe ``sup``.
    """
    return _train("sup", data, Path(output_dir), settings)


def _train(mode: str, source: Source, output_dir: Path, settings: TrainSettings) -> TrainResult:
    job = prepare(mode, source, output_dir, settings)
    plan = make_plan(job)
    listener = settings.get("listener") or TrainListener()
    if job.overwrite and output_dir.exists():
        shutil.rmtree(output_dir)
    write_record(output_dir, job.record)
    job.model.record = model_record(job.record)
    listener.started(plan)
    from simcse_kit.training.fit import fit  # the trainer takes 2 s to import: mistakes are told before

    result = fit(job, plan, listener)
    listener.finished(result)
    return result
