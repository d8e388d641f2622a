"""`train_unsup` and `train_sup`: from a file to a saved model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from simcse_kit.data.labelled import LabelledTexts
from simcse_kit.data.reading import check_file
from simcse_kit.encoder.hub import check_model_name
from simcse_kit.encoder.poolers import POOLERS
from simcse_kit.errors import ModelError
from simcse_kit.training.config import make_config
from simcse_kit.training.events import TrainResult
from simcse_kit.training.output import check_output, check_owner
from simcse_kit.training.settings import TrainSettings, check_known
from simcse_kit.training.teacher_names import teacher_name

if TYPE_CHECKING:
    from simcse_kit.training.job import TrainData

__all__ = ["TrainSettings", "train_sup", "train_unsup"]


def train_unsup(data: TrainData, output_dir: str | Path, **settings: Any) -> TrainResult:
    """Unsupervised SimCSE (Gao et al., 2021, section 3): the positive of a sentence is itself under another dropout
    mask.

    Args:
        data: a file (.txt, .csv, .tsv, .jsonl, .parquet, each also .gz), ``hf:NAME[:split]``, or the sentences
            themselves.
        output_dir: becomes the model; checkpoints, ``metrics.jsonl`` and ``run.json`` are inside it.
        **settings: every option of ``simcse-kit train unsup`` by its name, with ``_`` for ``-``; defaults come from the
            recipe ``unsup``. ``objective`` may be an `Objective` with its settings; ``listener`` is a `TrainListener`;
            without one, a notebook shows a bar with loss and scores.

    Raises:
        TypeError: an unknown setting; the text gives the nearest one.
        DataError: a row cannot be used, with file and line.
        ModelError: the start model cannot be loaded, or the device does not exist.
        TrainingError: a setting, the output folder or the disk is not suitable; nothing has been created.
        MissingExtraError: the package for ``report_to`` is not installed; nothing has been created.
        DiskFullError: the disk is full; earlier checkpoints are complete.
        TrainingInterrupted: the user stopped the run; a checkpoint was saved.
    """
    return run("unsup", data, Path(output_dir), settings)


def train_sup(data: TrainData, output_dir: str | Path, **settings: Any) -> TrainResult:
    """Supervised SimCSE (section 4): pairs (anchor, positive) or triplets with a hard negative, as from NLI.

    With ``label_column`` (or `simcse_kit.data.LabelledTexts` as ``data``), rows are labelled texts, and texts of one
    class attract each other (``supcon``, Khosla et al., 2020). ``text_column`` names the column of the texts.

    Arguments, result and errors as in `train_unsup`. Defaults are those of the recipe ``sup``, or ``supcon`` for
    labelled texts. If these give fewer than 100 steps, ``batch_size`` gets smaller (at least 16) and ``epochs`` larger,
    unless they or a recipe are given.
    """
    return run("sup", data, Path(output_dir), settings)


def run(
    mode: str, source: TrainData, output_dir: Path, settings: TrainSettings, *, expected: dict[str, Any] | None = None
) -> TrainResult:
    """Train. ``expected``: the record of a run to repeat."""
    check_arguments(mode, source, settings)
    check_owner(output_dir)
    check_output(output_dir, resume=settings.get("resume", False), overwrite=settings.get("overwrite", False))
    from simcse_kit.training.running import run_job  # torch and transformers take seconds to import

    return run_job(mode, source, output_dir, settings, expected=expected)


def check_arguments(mode: str, source: TrainData, settings: TrainSettings) -> None:
    """Faults of settings, names and files that can be found before a text is read or a model is loaded.

    The run checks them again, with everything else.
    """
    check_known(settings, f"train_{mode}")
    labelled = settings.get("label_column") is not None or isinstance(source, LabelledTexts)
    config = make_config(mode, settings, labelled=labelled)
    if config.pooling is not None:
        POOLERS.get(config.pooling)
    check_model_name(config.model)
    for teacher in config.teacher:
        try:
            check_model_name(teacher_name(teacher))
        except ModelError as error:
            raise ModelError(f"teacher {error}") from error
    for file in (source, settings.get("eval_data")):
        if isinstance(file, str | Path) and not Path(file).is_dir():
            check_file(file)
