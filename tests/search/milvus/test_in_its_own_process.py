"""Tests of an index in Milvus Lite, in a separate process, because it runs threads.

Other tests fork theirs, and a process with gRPC's threads cannot be forked safely. To run some of these by hand:
SIMCSE_KIT_STORE=milvus pytest tests/search/milvus tests/search/test_collection.py
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
TESTS = Path(__file__).parents[2]
FILES = [
    "search/milvus",
    "index",
    *(
        f"search/test_{name}.py"
        for name in ("collection", "changes", "corpus", "groups", "number_of_clusters", "refresh")
    ),
]


@pytest.mark.skipif(importlib.util.find_spec("milvus_lite") is None, reason="needs the extra milvus")
def test_over_milvus() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short"]
    done = subprocess.run(
        command + [str(TESTS / name) for name in FILES],
        env=os.environ | {"SIMCSE_KIT_STORE": "milvus"},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
        cwd=TESTS.parent,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
