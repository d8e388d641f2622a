"""How many files a reader goes through from a query to its hits."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_a_query_passes_through_twelve_files_at_most() -> None:
    script = Path(__file__).parents[2] / ".ci" / "paths.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    found = re.search(r"^from the query to the hits: (\d+) files", done.stdout, re.M)
    assert found, done.stdout
    assert 0 < int(found[1]) <= 12, done.stdout
