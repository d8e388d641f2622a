"""A turn of a trainer in its own process, to measure its memory; used by speed_train.py --base.

python eval/train_turn.py ours|theirs MODEL STEPS [RANK]; RANK is that of LoRA adapters. The last output line has the
rows per second in bfloat16 and the peak of memory in bytes.
"""

from __future__ import annotations

import json
import resource
from typing import Any

from lib.arguments import parser
from lib.record import data_folder
from speed_train import ours, peers, unsup_task


def main() -> None:
    """Train and print."""
    arguments = parser(__doc__)
    arguments.add_argument("system", choices=("ours", "theirs"))
    arguments.add_argument("model", metavar="MODEL")
    arguments.add_argument("steps", metavar="STEPS", type=int)
    arguments.add_argument("rank", metavar="RANK", type=int, nargs="?")
    given = arguments.parse_args()
    adapters: dict[str, Any] = {} if given.rank is None else {"lora_rank": given.rank}
    task = unsup_task(data_folder(), given.steps)
    train = ours if given.system == "ours" else peers
    speed = train(task, given.model, given.steps, "cpu", bf16=True, **adapters)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"rows_per_second": speed, "peak_bytes": peak}))


if __name__ == "__main__":
    main()
