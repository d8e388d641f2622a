"""Cost and results of the quickstart: python eval/quickstart.py

Runs it as a command in an empty folder, with two threads; writes results/quickstart.json and the chart
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

from lib.arguments import parser
from lib.record import RESULTS, write_result

from simcse_kit import SimCSE, evaluate_retrieval
from simcse_kit.data import sample_search_path
from simcse_kit.encoder.known import MINILM
from simcse_kit.report import query_changes


def main() -> None:
    """Run, measure, draw."""
    parser(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        began = time.perf_counter()
        command = [sys.executable, "-c", "from simcse_kit.cli import main; main()", "quickstart"]
        subprocess.run(command, cwd=temporary, check=True, env=os.environ | {"HF_HUB_OFFLINE": "1"})
        seconds = time.perf_counter() - began
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        folder = Path(temporary) / "simcse-kit-quickstart" / "model"
        said = json.loads((folder / "adapt.json").read_text(encoding="utf-8"))
        models = (SimCSE(MINILM), SimCSE(folder))
        found = [evaluate_retrieval(model.encoder_fn(), sample_search_path()) for model in models]
    before, after = (100 * result.outcomes[0].values for result in found)
    low, high = said["figures"]["interval"]
    change = found[1].scores["ndcg@10"] - found[0].scores["ndcg@10"]
    RESULTS.mkdir(exist_ok=True)
    chart = query_changes(before, after, score="nDCG@10", mean=change, low=low, high=high)
    (RESULTS / "quickstart.svg").write_text(chart.svg(), encoding="utf-8")
    result = {
        "seconds": seconds,
        "peak_memory_bytes": memory,
        "before": found[0].scores["ndcg@10"],
        "after": found[1].scores["ndcg@10"],
        "interval": [low, high],
        "kept_start": said["kept_start"],
        "scores": [dict(one.scores) for one in found],
    }
    print(write_result("quickstart", result))


if __name__ == "__main__":
    main()
