"""Keyword arguments of `train_unsup` and `train_sup`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simcse_kit.objectives import OBJECTIVES, Objective
from simcse_kit.parts import check_keywords
from simcse_kit.training.config import COMMON, part_settings

TrainSettings = dict[str, Any]
"""Settings of a run by name: those of `TrainConfig`, of the objective, of its terms, and `RUN_OPTIONS`. A missing
setting, or None, comes from the recipe or the mode.
"""

RUN_OPTIONS = {
    "objective": "a name, module:attribute, or an Objective with its settings",
    "eval_data": "scored pairs, or a file of them; the checkpoint with the best Spearman is saved, or the start "
    "model if none scores higher",
    "columns": "names of the columns of the data",
    "label_column": "name of the column with the class of each text; chooses the objective supcon",
    "text_column": "with label_column: name of the column with the texts",
    "positives_only": "from pairs with a label each, take those with the highest label",
    "header": "whether the first row of the data holds column names",
    "skip_bad_rows": "skip and count rows that cannot be used",
    "resume": "continue from the last checkpoint in the output folder",
    "overwrite": "replace the run in the output folder",
    "trust_remote_code": "run Python code that comes with the model",
    "local_files_only": "never download",
    "listener": "receives the events of the run",
}
"""Arguments of a call besides the settings of a run, with their meaning."""


def known_settings() -> tuple[str, ...]:
    """All names that a call accepts, except settings of users' own objectives."""
    return (*(field.name for field in COMMON), *part_settings(), *RUN_OPTIONS)


def check_known(settings: Mapping[str, Any], where: str) -> None:
    """Raise a `TypeError` for an unknown name; the text gives the nearest known one."""
    asked = settings.get("objective")
    own: tuple[str, ...] = ()
    if isinstance(asked, Objective):
        own = asked.names()
    elif isinstance(asked, str) and ":" in asked:
        own = OBJECTIVES.get(asked).names()
    check_keywords(settings, (*known_settings(), *own), where, TypeError)
