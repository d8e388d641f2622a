"""Provenance of every result file."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from simcse_kit.training.record import processor_name

HERE = Path(__file__).resolve().parents[1]
RESULTS = HERE / "results"
_PACKAGES = (
    "simcse-kit",
    "torch",
    "transformers",
    "sentence-transformers",
    "tokenizers",
    "numpy",
    "scipy",
    "faiss-cpu",
)


def _commit() -> str:
    """The measured commit, with a mark if files of the package differ from it."""
    commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, cwd=HERE)
    status = ["git", "status", "--porcelain", "--", "../simcse_kit"]
    changed = subprocess.run(status, capture_output=True, text=True, cwd=HERE).stdout.strip()
    return commit.stdout.strip() + ("+changes" if changed else "")


COMMIT = _commit()  # read at the start: a long run may outlive the commit


def data_folder() -> Path:
    """Folder of the benchmark data, from SIMCSE_KIT_DATA."""
    value = os.environ.get("SIMCSE_KIT_DATA")
    if not value or not Path(value).is_dir():
        sys.exit("set SIMCSE_KIT_DATA to the folder of the benchmark data")
    return Path(value)


def write_result(name: str, result: dict[str, Any], path: Path | None = None) -> Path:
    """Write ``results/NAME.json`` (or ``path``): the result with command, commit, versions, machine and date."""
    import torch

    written = {
        "command": _command(),
        "commit": COMMIT,
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {package: version(package) for package in _PACKAGES} | {"python": platform.python_version()},
        "machine": {"processor": processor_name(), "cores": os.cpu_count(), "threads": torch.get_num_threads()},
        **result,
    }
    path = path or RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_numbers_in_a_line(json.dumps(written, indent=2, ensure_ascii=False)) + "\n", encoding="utf-8")
    return path


def _numbers_in_a_line(text: str) -> str:
    """JSON with lists of numbers on one line each, so that the thousands of values behind an interval stay readable."""
    return re.sub(r"\[[\s\d.,e+-]+\]", lambda found: " ".join(found[0].split()), text)


def load(name: str) -> dict[str, Any]:
    """A result by name."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def has(name: str) -> bool:
    """Whether a result exists."""
    return (RESULTS / f"{name}.json").is_file()


def _command() -> str:
    """The command as typed, without paths of the machine: folders of runs, another interpreter."""
    words = sys.argv[1:]
    if "--work" in words:
        place = words.index("--work")
        del words[place : place + 2]
    for option in ("--peer", "--base"):
        for place in (at + 1 for at, word in enumerate(words) if word == option):
            name, sign, _ = words[place].partition("=")
            words[place] = f"{name}=PYTHON" if sign else "FOLDER"
    script = Path(sys.argv[0]).resolve()
    place = script.relative_to(HERE) if script.is_relative_to(HERE) else Path(script.name)
    return " ".join(["python", f"eval/{place}", *(re.sub(r"(?<![\w.])/(?:[^/:]+/)*", "", word) for word in words)])
