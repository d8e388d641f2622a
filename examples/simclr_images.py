"""SimCLR (Chen et al., 2020) on images, without labels: python simclr_images.py [--dataset digits] [--seeds 1 2 3]

Each image gets two augmented views. A small ResNet f and a projection head g are trained with the NT-Xent loss on
z = g(f(x)). Loss and head are the ones that simcse_kit uses for text. Then a linear classifier is trained on raw
pixels, on the untrained encoder, on h = f(x) and on z, with ten labels per class and with all.

Needs: pip install "simcse-kit[images]"
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from simclr.experiment import run_seed, table
from simclr.images import load_images
from simclr.picture import draw
from simclr.training import Settings

from simcse_kit import SimCSEKitError

SMOKE = {"epochs": 2, "batch_size": 64, "widths": (8, 16)}


def main(argv: Sequence[str] | None = None) -> None:
    """Train and probe each seed, print the table, write the picture of the first seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="digits", help="digits, hf:NAME or a folder CLASS/IMAGE; default: digits")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="random seeds, one run each; default: 1")
    parser.add_argument("--epochs", type=int, help=f"default: {Settings().epochs}, with --smoke {SMOKE['epochs']}")
    parser.add_argument("--labels", type=int, default=10, help="labelled images per class; default: %(default)s")
    parser.add_argument("--limit", type=int, help="maximum number of training images; default: all")
    parser.add_argument("--no-flip", action="store_true", help="do not mirror images: for digits or letters")
    parser.add_argument("--output", type=Path, default=Path("simclr_images.png"), help="picture; default: %(default)s")
    parser.add_argument("--smoke", action="store_true", help="seconds on 300 images; the figures mean nothing")
    given = parser.parse_args(argv)
    chosen = {} if given.epochs is None else {"epochs": given.epochs}
    settings = Settings(**((SMOKE if given.smoke else {}) | chosen))
    data = load_images(given.dataset, limit=300 if given.smoke and given.limit is None else given.limit)
    data = data._replace(flip=data.flip and not given.no_flip)
    began = time.perf_counter()
    outcomes = [run_seed(data, settings, seed, per_class=given.labels) for seed in given.seeds]
    print(
        f"{data.name}: trained on {len(data.train.labels):,} images without labels; accuracy × 100 of a linear probe "
        f"on {len(data.test.labels):,} held-out images\n\n{table(outcomes, given.labels)}\n"
    )
    seconds = sum(outcome.trained.seconds for outcome in outcomes) / len(outcomes)
    print(f"training: {seconds:.0f} s per seed; total: {time.perf_counter() - began:.0f} s")
    draw(data, settings, outcomes[0], given.output)
    print(f"picture: {given.output}")


if __name__ == "__main__":
    try:
        main()
    except SimCSEKitError as error:
        sys.exit(f"error: {error}")
