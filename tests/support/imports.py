"""Imports of a new process: runs a command or Python code, and lists the heavy modules loaded afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

HEAVY = (
    "torch", "transformers", "datasets", "sentence_transformers", "sklearn", "scipy", "pandas", "matplotlib",
    "openvino", "huggingface_hub", "httpx", "accelerate",
)  # fmt: skip
_COMMAND = """
from simcse_kit.cli import main
sys.argv = ["simcse-kit", *sys.argv[1:]]
main()
"""


class Imported(NamedTuple):
    """A process that has ended."""

    code: int
    output: str
    errors: str
    heavy: list[str]  # of `HEAVY`


def command_imports(*arguments: object, cwd: Path | None = None, **environment: str) -> Imported:
    """Run ``simcse-kit ARGUMENTS``."""
    return imports_of(_COMMAND, *arguments, cwd=cwd, **environment)


def imports_of(code: str, *arguments: object, cwd: Path | None = None, **environment: str) -> Imported:
    """Run Python code with ``sys`` imported."""
    end = "import atexit, sys\n"
    end += f"atexit.register(lambda: print('HEAVY', *({{*sys.modules}} & {{*{HEAVY}}}), flush=True))\n"
    done = subprocess.run(
        [sys.executable, "-c", end + code, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment,
    )
    output, _, heavy = done.stdout.rpartition("HEAVY")
    return Imported(done.returncode, output, done.stderr, sorted(heavy.split()))
