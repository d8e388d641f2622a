"""What may be given to `train_unsup` and `train_sup`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simcse_kit.objectives import OBJECTIVES, Objective
from simcse_kit.parts import check_keywords
from simcse_kit.training.config import COMMON, part_settings

TrainSettings = dict[str, Any]
"""Settings of a run by name: those of `TrainConfig`, of the objective and of its terms, and `RUN_OPTIONS`. What is not
given, or None, comes from the recipe or the mode."""

RUN_OPTIONS = {
    "objective": "a name, module:attribute, or an Objective with its settings",
    "eval_data": "scored pairs, or a file of them; the best by their Spearman is saved, the start model among them",
    "columns": "names of the columns of the data",
    "label_column": "name of the column with the class of each text; chooses the objective supcon",
    "text_column": "with label_column: name of the column with the texts",
    "positives_only": "of pairs with a label each, take those with the highest one",
    "header": "whether the first row of the data holds names",
    "skip_bad_rows": "skip rows that cannot be used, and count them",
    "resume": "go on from the last checkpoint in the output folder",
    "overwrite": "replace the run that the output folder holds",
    "trust_remote_code": "run Python code that comes with the model",
    "local_files_only": "never download",
    "listener": "hears what the run does",
}
"""What a call takes beside the settings of a run, and what it means."""


def known_settings() -> tuple[str, ...]:
    """Everything that can be given by name, settings of users' own objectives aside."""
    return (*(field.name for field in COMMON), *part_settings(), *RUN_OPTIONS)


def check_known(settings: Mapping[str, Any], where: str) -> None:
    """A `TypeError` for a name that means nothing; its text has the nearest one that does."""
    asked = settings.get("objective")
    own: tuple[str, ...] = ()
    if isinstance(asked, Objective):
        own = asked.names()
    elif isinstance(asked, str) and ":" in asked:
        own = OBJECTIVES.get(asked).names()
    check_keywords(settings, (*known_settings(), *own), where, TypeError)
