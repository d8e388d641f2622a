"""SIGKILL at any instant loses nothing that was committed, and leaves a folder that opens."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support import SCRIPTS

pytestmark = pytest.mark.slow


def test_killed_two_hundred_times(tmp_path: Path) -> None:
    script = SCRIPTS / "kill_writer.py"
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(script), str(tmp_path / "i"), "200", "1"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    match = re.search(r"200 kills, (\d+) commits, (\d+) rows; (\d+) left files behind", done.stdout)
    assert match, done.stdout
    commits, rows, leftovers = map(int, match.groups())
    assert commits > 100
    assert rows > 100
    assert leftovers > 10  # it did hit commits on their way
