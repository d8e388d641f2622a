"""The checkpoints of a run: ``checkpoint-STEP`` folders, written aside and renamed, so that each is whole."""

from __future__ import annotations

import re
from pathlib import Path

STAGING = ".staging"
_NAME = re.compile(r"checkpoint-(\d+)")


def checkpoint_name(step: int) -> str:
    """Name of a step's checkpoint in the run's folder."""
    return f"checkpoint-{step}"


def step_of(checkpoint: Path) -> int:
    """The step that a checkpoint's name says."""
    found = _NAME.fullmatch(checkpoint.name)
    assert found is not None
    return int(found[1])


def checkpoints(run: Path) -> list[Path]:
    """The run's checkpoints, oldest first; only whole ones have such a name."""
    return sorted((path for path in run.glob("checkpoint-*") if _NAME.fullmatch(path.name)), key=step_of)
