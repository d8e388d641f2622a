"""What the checks of inputs, files and models cost: python eval/check_cost.py [--pairs 20]

The same work with the checks and without them, in one process: many sentences in one call, one sentence a call, and a
training run from its file to the saved model. A pair is several turns of each, taken in turn, and compares their
medians. Seconds are the processor's, on one thread, so that other processes count little. The run is short (a random
two-layer BERT, one checkpoint), so that what is checked once weighs more than in a long one. Load times are shown
beside: FNet is of a family that is tried, and the answer is kept, so it is timed the first time and again. Writes
results/check_cost.json.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from lib.family_models import make
from lib.record import write_result
from torch.nn.functional import normalize

from simcse_kit import SimCSE, train_sup
from simcse_kit.data.delimiters import Separated
from simcse_kit.data.sample import sample_sentences
from simcse_kit.encoder.known import packaged_minilm
from simcse_kit.training.checkpoints import FileMark

SENTENCES = 256  # in one call
TRIPLETS = 1536
LOADS = 5  # of each kind
_ENDS = 0.025, 0.975


def _nothing(*_: Any, **__: Any) -> None:
    return None


LOADING: dict[str, Callable[..., Any]] = {
    "encoder.backbone.check_sizes": _nothing,
    "encoder.backbone.check_vocabulary": _nothing,
    "encoder.backbone.check_weights": _nothing,
    "encoder.load.settle_padding": _nothing,
}
ENCODING: dict[str, Callable[..., Any]] = {
    "encoder.call._unit_length": lambda vectors: normalize(vectors, dim=-1),
    "encoder.tokens._cut_characters": lambda *_: [],
    "encoder.tokens._characters": lambda _: 0,
    "encoder.tokens._notice_foreign_vocabulary": _nothing,
    "model.check_options": _nothing,
    "model.checked_texts": lambda texts: [texts] if isinstance(texts, str) else list(texts),
    "model.say_cut": _nothing,
}
TRAINING: dict[str, Callable[..., Any]] = {
    "data.columns._check_labels": _nothing,
    "data.reading.check_lines": lambda lines, source: lines,
    "data.reading.find_delimiter": lambda lines, source: Separated(",", lines),
    "data.text.fault_of_texts": _nothing,
    "training.checkpoints._mark": lambda path: FileMark(path.stat().st_size, ""),
    "training.job._runs_in_bfloat16": lambda _: True,
    "training.job.check_differences": _nothing,
    "training.job.check_rows": _nothing,
    "training.job.check_space": _nothing,
    "training.job.tell_repeats": _nothing,
    "training.running.run_folder": lambda *_, **__: nullcontext(),
}
"""What each check is without checking; the names are below ``simcse_kit``."""


@contextmanager
def without(*checks: dict[str, Callable[..., Any]]) -> Iterator[None]:
    """No checks; a name that is not there is an error, so that none is left by a change of names."""
    with ExitStack() as stack:
        for name, stand_in in (pair for group in checks for pair in group.items()):
            stack.enter_context(patch(f"simcse_kit.{name}", stand_in))
        yield


def seconds(work: Callable[[], object]) -> float:
    """The processor's, of one turn."""
    began = time.process_time()
    work()
    return time.process_time() - began


def compared(
    work: Callable[[], object], pairs: int, turns: int, *checks: dict[str, Callable[..., Any]]
) -> dict[str, Any]:
    """The work with the checks and without, in pairs; what they cost in percent: median and its 95 % interval."""
    both: dict[str, list[float]] = {"with": [], "without": []}
    work()
    for pair in range(pairs):
        taken: dict[str, list[float]] = {name: [] for name in both}
        for turn in range(turns):
            for name in sorted(both, reverse=(pair + turn) % 2 == 1):
                with without(*checks) if name == "without" else nullcontext():
                    taken[name].append(seconds(work))
        for name, own in taken.items():
            both[name].append(statistics.median(own))
    percent = [100 * (one / other - 1) for one, other in zip(both["with"], both["without"], strict=True)]
    return {
        "percent": statistics.median(percent),
        "interval": interval_of_median(percent),
        "seconds": {name: statistics.median(taken) for name, taken in both.items()},
        "pairs": both,
    }


def interval_of_median(values: Sequence[float]) -> list[float]:
    """Between which of the sorted values the median lies with 95 %: each is as likely below as above it."""
    from scipy.stats import binom

    ordered = sorted(values)
    low, high = (int(binom.ppf(end, len(ordered), 0.5)) for end in _ENDS)
    return [ordered[max(0, low - 1)], ordered[min(high, len(ordered) - 1)]]


def loads(folder: Path, texts: Sequence[str]) -> dict[str, Any]:
    """Seconds to load: medians, the kinds and turns alternating."""
    fnet = make("fnet", folder / "fnet", texts)
    new = count()

    def untried() -> object:
        with patch.dict(os.environ, XDG_CACHE_HOME=str(folder / f"cache-{next(new)}")):
            return SimCSE(fnet, pooling="mean", device="cpu")

    works: dict[str, Callable[[], object]] = {
        "MiniLM": lambda: SimCSE(packaged_minilm(), pooling="mean", device="cpu"),
        "FNet, tried": untried,
        "FNet, again": lambda: SimCSE(fnet, pooling="mean", device="cpu"),
    }
    taken: dict[str, dict[str, list[float]]] = {name: {"with": [], "without": []} for name in works}
    for turn in range(LOADS + 1):
        for name, work in works.items():
            one = seconds(work)
            with without(LOADING):
                other = seconds(work)
            if turn:  # the first warms up
                taken[name]["with"].append(one)
                taken[name]["without"].append(other)
    return {name: {how: statistics.median(own) for how, own in both.items()} for name, both in taken.items()}


def triplets_file(path: Path, texts: Sequence[str]) -> Path:
    """A .csv file of triplets, no two alike."""
    import csv

    size = len(texts)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["sent0", "sent1", "hard_neg"])
        for row in range(TRIPLETS):
            step = 1 + row // size
            writer.writerow([texts[row % size], texts[(row + step) % size], texts[(row + step + size // 2) % size]])
    return path


def small_bert(folder: Path) -> str:
    """Two layers with random weights and MiniLM's tokenizer."""
    from transformers import AutoTokenizer, BertConfig, BertModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 512}
    BertModel(BertConfig(**sizes)).save_pretrained(folder)
    AutoTokenizer.from_pretrained(packaged_minilm()).save_pretrained(folder)
    return str(folder)


def main() -> None:
    """Compare, and write down what the checks cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=20)
    pairs = parser.parse_args().pairs
    torch.set_num_threads(1)
    texts = sample_sentences()
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = Path(name)
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        model = SimCSE(packaged_minilm(), pooling="mean", device="cpu")
        file, start = triplets_file(folder / "triplets.csv", texts), small_bert(folder / "bert")
        runs = count()

        def train() -> object:
            run = folder / f"run-{next(runs)}"
            return train_sup(str(file), run, model=start, pooling="cls", batch_size=64, epochs=1, device="cpu")

        found = {
            "encode, many sentences": compared(
                lambda: model.encode(texts[:SENTENCES], normalize_embeddings=True), pairs, 9, ENCODING
            ),
            "encode, one sentence a call": compared(
                lambda: model.encode(texts[0], normalize_embeddings=True), pairs, 301, ENCODING
            ),
            "train": compared(train, pairs, 3, LOADING, ENCODING, TRAINING),
        }
        for work, result in found.items():
            low, high = result["interval"]
            print(f"{work}: {result['percent']:+.2f} % ({low:+.2f} to {high:+.2f})", flush=True)
        result = {"work": found, "load_seconds": loads(folder, texts)}
        print(result["load_seconds"])
    write_result("check_cost", result)


if __name__ == "__main__":
    main()
