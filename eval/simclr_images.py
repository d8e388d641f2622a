"""SimCLR on scikit-learn's digits, linear probes over three seeds: python eval/simclr_images.py

The experiment of examples/simclr_images.py with its defaults; writes results/simclr_images.json and the picture of
examples/contrastive_learning.md.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any

import numpy as np
from lib.arguments import parser
from lib.record import HERE, write_result

sys.path.insert(0, str(HERE.parent / "examples"))

from simclr.experiment import FEATURES, LABELS, run_seed, table
from simclr.images import load_images
from simclr.picture import draw
from simclr.training import Settings

SEEDS = (1, 2, 3)
PER_CLASS = 10


def main() -> None:
    """Run, print, write, draw."""
    parser(__doc__).parse_args()
    data, settings = load_images("digits"), Settings()
    outcomes = [run_seed(data, settings, seed, per_class=PER_CLASS) for seed in SEEDS]
    print(table(outcomes, PER_CLASS))
    means: dict[str, dict[str, Any]] = {
        name: {
            amount: {
                "seeds": [outcome.accuracy[name][amount] for outcome in outcomes],
                "mean": float(np.mean([outcome.accuracy[name][amount] for outcome in outcomes])),
            }
            for amount in LABELS
        }
        for name in FEATURES
    }
    few = {name: own["few"]["mean"] for name, own in means.items()}
    result = {
        "dataset": data.name,
        "train": len(data.train.labels),
        "test": len(data.test.labels),
        "labels_a_class": PER_CLASS,
        "settings": asdict(settings),
        "seeds": list(SEEDS),
        "accuracy": means,
        "gains_with_few_labels": {
            f"h over {name}": few["h, before the head"] - few[name] for name in FEATURES if not name.startswith("h")
        },
        "train_seconds": [outcome.trained.seconds for outcome in outcomes],
        "steps": outcomes[0].trained.steps,
        "losses": outcomes[0].trained.losses,
    }
    draw(data, settings, outcomes[0], HERE.parent / "examples" / "images" / "simclr.png")
    print(write_result("simclr_images", result))


if __name__ == "__main__":
    main()
