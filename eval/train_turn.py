"""A trainer's turn in a process of its own, whose memory is its own: what speed_train.py --base compares.

python eval/train_turn.py ours|theirs MODEL STEPS [RANK]; RANK is of LoRA adapters. The last line of the output has the
rows a second in bfloat16 and the peak of memory in bytes.
"""

from __future__ import annotations

import json
import resource
import sys
from typing import Any

from lib.record import data_folder
from speed_train import ours, peers, unsup_task


def main() -> None:
    """Train and say."""
    system, model, steps = sys.argv[1], sys.argv[2], int(sys.argv[3])
    adapters: dict[str, Any] = {"lora_rank": int(sys.argv[4])} if len(sys.argv) > 4 else {}
    task = unsup_task(data_folder(), steps)
    if system == "ours":
        speed = ours(task, model, steps, "cpu", bf16=True, **adapters)
    else:
        speed = peers(task, model, steps, "cpu", bf16=True, **adapters)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"rows_per_second": speed, "peak_bytes": peak}))


if __name__ == "__main__":
    main()
