"""Targets of a run's rows, if its objective makes targets. The first process writes them; all processes read them."""

from __future__ import annotations

import time

from simcse_kit.model import SimCSE
from simcse_kit.training.job import Job
from simcse_kit.training.sampling import numbered
from simcse_kit.training.targets import FOLDER, Targets, read_targets, targets_mark, write_targets

_TOLD = 500  # from this many texts on, progress is shown
_WAIT = 0.2  # seconds between checks for targets that another process writes


def set_targets(job: Job, teacher: SimCSE) -> None:
    """Give the rows the objective's targets from nearest texts. The first process of a run writes them; the others, and
    a resumed run, read them. Call it when the run's folder exists. Does nothing for other objectives.
    """
    folder, objective = job.output_dir / FOLDER, job.config.objective
    texts = list(dict.fromkeys(job.data.column(0)))  # counted as in `numbered`
    mark = targets_mark(texts, teacher.fingerprint(), objective)
    vectors = read_targets(folder, mark)
    if vectors is None and job.world.rank == 0:
        write_targets(folder, mark, texts, teacher, objective, show_progress_bar=len(texts) > _TOLD)
    while vectors is None:  # a barrier times out after minutes; a million texts take hours
        vectors = read_targets(folder, mark)
        if vectors is None:
            time.sleep(_WAIT)
    job.rows.teachers = [Targets(vectors, numbered([job.data.column(0)]))]
