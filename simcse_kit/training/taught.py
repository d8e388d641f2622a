"""Targets of a run's rows, where its objective makes some: written by the first process, read by all."""

from __future__ import annotations

import time

from simcse_kit.model import SimCSE
from simcse_kit.training.job import Job
from simcse_kit.training.sampling import numbered
from simcse_kit.training.targets import FOLDER, Targets, read_targets, targets_mark, write_targets

_TOLD = 500  # texts, from which on progress is shown
_WAIT = 0.2  # seconds between two looks for targets that another process writes


def set_targets(job: Job, teacher: SimCSE) -> None:
    """Give the rows the targets that the objective makes from nearest texts: written by the first process of a run,
    read again by the others and on resume. Comes after the run's folder is there; others are left as they are.
    """
    folder, objective = job.output_dir / FOLDER, job.config.objective
    texts = list(dict.fromkeys(job.data.column(0)))  # as `numbered` counts them
    mark = targets_mark(texts, teacher.fingerprint(), objective)
    vectors = read_targets(folder, mark)
    if vectors is None and job.world.rank == 0:
        write_targets(folder, mark, texts, teacher, objective, show_progress_bar=len(texts) > _TOLD)
    while vectors is None:  # a barrier gives up after minutes, and a million texts take hours
        vectors = read_targets(folder, mark)
        if vectors is None:
            time.sleep(_WAIT)
    job.rows.teachers = [Targets(vectors, numbered([job.data.column(0)]))]
