"""Does the gate of `adapt` see harm? python eval/gate.py [METHOD ...] [--domains ...] [--seeds ...]

Short runs of many methods and strengths from one start model, on four domains whose labels tell P@10: banking77,
clinc150, stackoverflow, and TREC's fine question types. A run trains on texts alone; 600 other texts give the signs.
Results go to results/gate.json as they come, and runs that are there are skipped. The limit of a sign is chosen on
three domains and tried on the fourth, for each domain in turn, see ``gate_table.py``.
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
from lib.adapt_baselines import neighbour_pairs
from lib.record import data_folder, has, load, write_result

from simcse_kit import SimCSE, evaluate_labels, train_sup, train_unsup
from simcse_kit.data import LabelledTexts, read_labelled
from simcse_kit.evaluation.labels import Labelled
from simcse_kit.evaluation.signs import SearchSigns, signs

START = "all-MiniLM-L6-v2"
DOMAINS = ("banking77", "clinc150", "stackoverflow", "trec")
TRAINED, LOOKED_AT, ASKED = 4000, 600, 1000  # texts that train and are searched, that give the signs, that are queries


class Domain(NamedTuple):
    """A part of a domain's texts; the same for every run."""

    searched: LabelledTexts
    asked: LabelledTexts
    held_out: list[str]

    @property
    def texts(self) -> list[str]:
        """What a run trains on."""
        return list(dict.fromkeys(self.searched.texts))


def read_domain(name: str, data: Path) -> Domain:
    """Texts drawn with one seed."""
    if name == "trec":
        train, test = (_trec(data / "senteval" / "TREC" / file) for file in ("train_5500.label", "TREC_10.label"))
    else:
        train, test = (read_labelled(data / "domains" / name / f"{part}.tsv") for part in ("train", "test"))
    random = np.random.default_rng(1)
    order = random.permutation(len(train.texts))
    searched = _part(train, order[:TRAINED])
    seen = {*searched.texts}
    rest = list(dict.fromkeys(train.texts[i] for i in order[TRAINED:] if train.texts[i] not in seen))
    return Domain(searched, _part(test, random.permutation(len(test.texts))[:ASKED]), rest[:LOOKED_AT])


def _trec(path: Path) -> LabelledTexts:
    rows = [line.strip().split(" ", 1) for line in path.read_text(encoding="latin-1").splitlines()]
    return LabelledTexts([text for _, text in rows], [label for label, _ in rows], path.name)


def _part(whole: LabelledTexts, rows: Sequence[int]) -> LabelledTexts:
    return LabelledTexts([whole.texts[i] for i in rows], [whole.labels[i] for i in rows], whole.source)


Run = Callable[[Domain, int, Path], None]


def _unsup(**settings: Any) -> Run:
    common = {"model": START, "pooling": "mean", "max_seq_length": 48, "batch_size": 64}
    return lambda domain, seed, folder: (
        train_unsup(domain.texts, folder, **(common | settings | {"seed": seed})) and None
    )


def _pairs(**settings: Any) -> Run:
    common = {"model": START, "pooling": "mean", "max_seq_length": 48, "batch_size": 64, "train_head": "none"}

    def run(domain: Domain, seed: int, folder: Path) -> None:
        train_sup(neighbour_pairs(SimCSE(START), domain.texts, seed), folder, **(common | settings | {"seed": seed}))

    return run


def _neighbors(**settings: Any) -> Run:
    return _unsup(objective="neighbors", **settings)


METHODS: dict[str, Run] = {
    "simcse": _unsup(epochs=0.5),
    "neighbors": _neighbors(neighbors=30, learning_rate=5e-5, epochs=1),
    "simcse-strong": _unsup(epochs=0.5, learning_rate=1e-4),
    "neighbors-strong": _neighbors(neighbors=300, learning_rate=2e-4, epochs=2),
    "neighbour-pairs": _pairs(epochs=1, learning_rate=5e-5),
    "rankcse": _unsup(epochs=0.5, recipe="rankcse", teacher=START),
    "simcse-weak": _unsup(epochs=0.5, learning_rate=1e-5),
    "simcse-no-head": _unsup(epochs=0.5, train_head="none"),
    "neighbour-pairs-strong": _pairs(epochs=1, learning_rate=2e-4),
    "esimcse": _unsup(epochs=0.5, recipe="esimcse"),
    "mlm": _unsup(epochs=0.5, recipe="mlm", learning_rate=5e-5),
    "neighbors-mild": _neighbors(neighbors=10, learning_rate=3e-5, epochs=1),
    "simcse-cls": _unsup(epochs=0.5, pooling="cls"),
    "neighbors-one": _neighbors(neighbors=1, learning_rate=5e-5, epochs=1),
    "arccse": _unsup(epochs=0.5, recipe="arccse"),
    "neighbors-blurred": _neighbors(neighbors=300, own_weight=0.0, learning_rate=2e-4, epochs=2),
}


def look(model: SimCSE, domain: Domain) -> dict[str, Any]:
    """P@10, and the mean of each sign times 100."""
    found = evaluate_labels(model.encoder_fn(), Labelled(domain.asked, domain.searched)).scores
    seen = signs(model.encoder_fn(), domain.held_out)
    means = {name: round(100 * float(values.mean()), 3) for name, values in zip(SearchSigns._fields, seen, strict=True)}
    return {"p@10": round(found["p@10"], 3), "p@1": round(found["p@1"], 3), "signs": means}


def main(argv: Sequence[str] | None = None) -> None:
    """Do the runs that are not there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", metavar="METHOD", help=f"default: all of {', '.join(METHODS)}")
    parser.add_argument("--domains", nargs="+", default=list(DOMAINS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args(argv)
    data = data_folder()
    for seed in arguments.seeds:
        for method in ["start", *(arguments.methods or METHODS)]:
            for name in arguments.domains:
                runs = load("gate")["runs"] if has("gate") else []
                here = 0 if method == "start" else seed
                if (name, method, here) in {(run["domain"], run["method"], run["seed"]) for run in runs}:
                    continue
                domain, began = read_domain(name, data), time.perf_counter()
                work = Path(tempfile.mkdtemp(prefix="gate-"))
                try:
                    if method != "start":
                        METHODS[method](domain, seed, work / "model")
                    model = SimCSE(START if method == "start" else work / "model")
                    found = {"domain": name, "method": method, "seed": here} | look(model, domain)
                finally:
                    shutil.rmtree(work, ignore_errors=True)
                runs = load("gate")["runs"] if has("gate") else []  # others may have written meanwhile
                write_result("gate", {"runs": [*runs, found]})
                print(found, f"{time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
