"""What the quickstart costs and shows: python eval/quickstart.py

Runs it as a command in an empty folder, with two threads; writes results/quickstart.json and the picture
results/quickstart.svg.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from record import RESULTS, write_result

from simcse_kit import SimCSE, evaluate_pairs
from simcse_kit.data import read_scored_pairs, sample_pairs_path
from simcse_kit.encoder.known import MINILM
from simcse_kit.evaluation import cosine_pairs
from simcse_kit.report import similarity_by_gold
from simcse_kit.workflows.quickstart import POOLING


def main() -> None:
    """Run, measure, draw."""
    with tempfile.TemporaryDirectory() as temporary:
        began = time.perf_counter()
        command = [sys.executable, "-c", "from simcse_kit.cli import main; main()", "quickstart"]
        subprocess.run(command, cwd=temporary, check=True, env=os.environ | {"HF_HUB_OFFLINE": "1"})
        seconds = time.perf_counter() - began
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        pairs = read_scored_pairs(sample_pairs_path())
        folder = Path(temporary) / "simcse-kit-quickstart" / "model"
        models = {"before": SimCSE(MINILM, pooling=POOLING), "after": SimCSE(folder)}
        scores = {name: evaluate_pairs(model.encoder_fn(), pairs) for name, model in models.items()}
        cosines = {
            name: cosine_pairs(model.encode(pairs.first), model.encode(pairs.second)) for name, model in models.items()
        }
        metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    svg = similarity_by_gold(pairs.gold, cosines["before"], cosines["after"], top=5.0)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "quickstart.svg").write_text(svg, encoding="utf-8")
    result = {
        "seconds": seconds,
        "peak_memory_bytes": memory,
        "scores": {name: value.to_json() | {"data": "the sample's pairs"} for name, value in scores.items()},
        "metrics": metrics,
    }
    print(write_result("quickstart", result))


if __name__ == "__main__":
    main()
