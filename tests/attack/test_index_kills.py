"""An index whose writers are killed at every step: nothing committed is lost, and nothing is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.commit_and_die import WAYS

pytestmark = pytest.mark.slow
TESTS = Path(__file__).parents[1]


def kills(*arguments: str) -> int:
    done = subprocess.run(
        [sys.executable, "-m", "support.commit_and_die", *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return int(done.stdout)


@pytest.mark.parametrize("way", WAYS)
def test_a_change_is_killed_at_every_step(way: str, tmp_path: Path) -> None:
    assert kills(str(tmp_path / "place"), way) > 15


def test_a_build_is_killed_at_steps_by_chance(tmp_path: Path) -> None:
    assert kills(str(tmp_path / "place"), "build", "12") > 20
