"""Number of files a reader goes through from a text to the loss, and from a query to its hits."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

MOST = {  # also checks files, folders and backbones, and first the modules that open a model without torch
    "from the text file to the loss": 54,
    "of these, from tokenizing the texts to the loss": 38,
    "of these, from the batch of the first step to the loss": 14,
    "from the query to the hits": 18,
}


@pytest.fixture(scope="module")
def printed() -> str:
    script = Path(__file__).parents[2] / ".ci" / "paths.py"
    return subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
@pytest.mark.parametrize("path", MOST)
def test_a_path_passes_through_few_files(path: str, printed: str) -> None:
    found = re.search(rf"^{path}: (\d+) files", printed, re.M)
    assert found, printed
    assert 0 < int(found[1]) <= MOST[path], printed
