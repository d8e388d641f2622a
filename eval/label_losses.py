"""`adapt` with classes, compared with two losses of sentence-transformers: python eval/label_losses.py [LOSS ...]

All get the same labelled texts (8 per class, or all), start from the same model, and take equally many steps with
equally many texts and tokens. `adapt` is called as a user calls it: it holds out a tenth of the texts for its verdict.
sentence-transformers trains on all of them, once with its own learning rate and once with that of `adapt`; the better
of both on the test texts counts. Finished cells go into results/label_losses.json; existing cells are skipped.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from adapt import few
from lib.adapt_tables import CLASSES, LOSSES, OWN_LOSS, START
from lib.record import data_folder, has, load, write_result

from simcse_kit import SimCSE, adapt, evaluate_labels
from simcse_kit.data import LabelledTexts, read_labelled
from simcse_kit.encoder.known import packaged_model
from simcse_kit.types import EncodeFn

RATE = 2e-5  # sentence-transformers' own in its examples
Peer = Callable[[Any, LabelledTexts, np.random.Generator], tuple[dict[str, list[Any]], Any]]  # its columns, its loss


class Budget(NamedTuple):
    """Settings of `adapt` that the others use too."""

    steps: int
    batch_size: int  # texts in a step
    learning_rate: float
    max_seq_length: int


def _ranking(model: Any, rows: LabelledTexts, random: np.random.Generator) -> tuple[dict[str, list[Any]], Any]:
    """Every text with another text of its class; in-batch negatives."""
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    labels = np.array(rows.labels)
    members = {name: np.flatnonzero(labels == name) for name in sorted(set(rows.labels))}
    pairs = [
        (text, rows.texts[int(random.choice(members[label][members[label] != i]))])
        for i, (text, label) in enumerate(zip(rows.texts, rows.labels, strict=True))
        if len(members[label]) > 1
    ]
    columns = {"anchor": [first for first, _ in pairs], "positive": [second for _, second in pairs]}
    return columns, MultipleNegativesRankingLoss(model)


def _triplets(model: Any, rows: LabelledTexts, random: np.random.Generator) -> tuple[dict[str, list[Any]], Any]:
    """All triplets of a batch with at least two texts of each of its classes."""
    from sentence_transformers.sentence_transformer.losses import BatchAllTripletLoss

    numbers = {name: i for i, name in enumerate(sorted(set(rows.labels)))}
    return {"text": rows.texts, "label": [numbers[name] for name in rows.labels]}, BatchAllTripletLoss(model)


PEERS: dict[str, Peer] = dict(zip(LOSSES, (_ranking, _triplets), strict=True))
_SAMPLERS = dict(zip(LOSSES, ("no_duplicates", "group_by_label"), strict=True))
_TEXTS_A_ROW = dict(zip(LOSSES, (2, 1), strict=True))


def _peer(name: str, rows: LabelledTexts, budget: Budget, rate: float, seed: int, folder: Path) -> EncodeFn:
    """Train with sentence-transformers."""
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from transformers import set_seed

    set_seed(seed)
    model = SentenceTransformer(str(packaged_model(START)), device="cpu")
    model.max_seq_length = budget.max_seq_length
    columns, loss = PEERS[name](model, rows, np.random.default_rng(seed))
    SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(
            output_dir=str(folder),
            max_steps=budget.steps,
            per_device_train_batch_size=budget.batch_size // _TEXTS_A_ROW[name],
            learning_rate=rate,
            warmup_steps=budget.steps // 10,
            batch_sampler=_SAMPLERS[name],
            seed=seed,
            bf16=True,
            use_cpu=True,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=Dataset.from_dict(columns),
        loss=loss,
    ).train()
    return lambda texts: model.encode(list(texts), convert_to_numpy=True, show_progress_bar=False)


def _own(rows: LabelledTexts, seed: int, folder: Path) -> tuple[EncodeFn, Budget]:
    made = adapt(rows, START, folder, seed=seed, overwrite=True)
    settings = made.method.settings
    rate, longest = settings["learning_rate"], settings["max_seq_length"]
    return SimCSE(folder).encoder_fn(), Budget(made.training.steps, settings["batch_size"], rate, longest)


def main(argv: Sequence[str] | None = None) -> None:
    """Train and measure the missing cells."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("losses", nargs="*", metavar="LOSS", help=f"beside `adapt`: all of {', '.join(PEERS)}")
    parser.add_argument("--domains", nargs="+", default=list(CLASSES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--all", action="store_true", help="all texts in place of 8 a class")
    arguments = parser.parse_args(argv)
    whole = "all" if arguments.all else "8 a class"
    for seed in arguments.seeds:
        for domain in arguments.domains:
            _measure(domain, whole, seed, arguments.losses or list(PEERS))


def _measure(domain: str, whole: str, seed: int, losses: Sequence[str]) -> None:
    data = data_folder() / "domains" / domain
    train = read_labelled(data / "train.tsv")
    rows = train if whole == "all" else few(train, seed)

    def cells() -> list[dict[str, Any]]:
        return load("label_losses")["cells"] if has("label_losses") else []

    def found(loss: str, rate: float | None = None) -> list[dict[str, Any]]:
        wanted = (domain, whole, loss, seed)
        same = [one for one in cells() if (one["domain"], one["texts"], one["loss"], one["seed"]) == wanted]
        return [one for one in same if rate in (None, one["learning_rate"])]

    def keep(loss: str, budget: Budget, rate: float, encode: EncodeFn, seconds: float) -> None:
        score = round(evaluate_labels(encode, data).scores["p@10"], 3)
        cell = {"domain": domain, "texts": whole, "loss": loss, "seed": seed, **budget._asdict(), "learning_rate": rate}
        write_result("label_losses", {"cells": [*cells(), cell | {"p@10": score, "seconds": round(seconds, 1)}]})
        print(domain, whole, loss, seed, f"{rate:g}", score, f"{seconds:.0f} s", flush=True)

    work = Path(tempfile.mkdtemp(prefix="losses-"))
    try:
        began = time.perf_counter()
        if not found(OWN_LOSS):
            encode, budget = _own(rows, seed, work / "own")
            keep(OWN_LOSS, budget, budget.learning_rate, encode, time.perf_counter() - began)
        own = found(OWN_LOSS)[0]
        budget = Budget(*(own[name] for name in Budget._fields))
        for loss in losses:
            for rate in (RATE, budget.learning_rate):
                if not found(loss, rate):
                    began = time.perf_counter()
                    encode = _peer(loss, rows, budget, rate, seed, work / "peer")
                    keep(loss, budget, rate, encode, time.perf_counter() - began)
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
