"""A row of SimCSE's tables, from the hub to the comparison: python eval/reproduce/run.py ROW [--seeds 1,2,3] [--smoke]

Downloads start model, training data and STS sets, trains with the paper's recipe, selects the checkpoint on STS-B dev,
measures the seven tasks and compares them with the published results. It needs the hub and a GPU; with too little GPU
memory, use --mini-batch-size. Writes results/reproduce/ROW-SEED.json; finished seeds are skipped, interrupted ones
resume.

Without a network: --data FOLDER holds the training file (wiki1m_for_simcse.txt or nli_for_simcse.csv) and senteval/
with STS/ and SICK/; --model FOLDER is the start model.

--smoke runs the same path in seconds, on a two-layer random model and the package's sample: its scores mean nothing,
and are written to the working folder.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import smoke
from lib.record import RESULTS, write_result

from simcse_kit import SimCSE, evaluate_sts, train_sup, train_unsup
from simcse_kit.errors import DataError, SimCSEKitError
from simcse_kit.evaluation import download_sts

ROWS: dict[str, dict[str, Any]] = tomllib.loads((HERE / "rows.toml").read_text(encoding="utf-8"))
REPOSITORY = "princeton-nlp/datasets-for-simcse"
FILES = {"unsup": "wiki1m_for_simcse.txt", "sup": "nli_for_simcse.csv"}
SMALL = {"batch_size": 16, "epochs": 1, "eval_steps": 10, "device": "cpu"}  # steps of a smoke run


class Inputs(NamedTuple):
    """Parts of a row."""

    model: str | None  # None: the recipe's
    train: Path
    senteval: Path


def fetched(row: str, work: Path) -> Inputs:
    """Download from the hub, through its cache; the STS sets go to the working folder."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    file = FILES[_mode(row)]
    try:
        train = hf_hub_download(REPOSITORY, file, repo_type="dataset")
        return Inputs(None, Path(train), download_sts(work))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, DataError, OSError) as error:
        first = str(error).strip().partition("\n")[0]
        raise SimCSEKitError(
            f"cannot download the data from the hub ({type(error).__name__}: {first}). Without a network: "
            f"--data FOLDER with {file} and senteval/ (folders STS and SICK of SentEval)"
        ) from error


def found(row: str, folder: Path) -> Inputs:
    """Data of a folder; raises an error for what is missing."""
    train, senteval = folder / FILES[_mode(row)], folder / "senteval"
    for path in (train, senteval / "STS", senteval / "SICK"):
        if not path.exists():
            raise SimCSEKitError(f"{path} does not exist; --data needs {train.name}, senteval/STS and senteval/SICK")
    return Inputs(None, train, senteval)


def made_small(row: str, work: Path) -> Inputs:
    """The same data, generated here."""
    kind = "roberta" if "roberta" in row else "bert"
    shutil.rmtree(work / row, ignore_errors=True)
    model = smoke.make_model(kind, work / row / "start")
    train = smoke.make_training_data(_mode(row), work / row)
    return Inputs(str(model), train, smoke.make_senteval(work / row / "senteval"))


def _mode(row: str) -> str:
    return row.partition("-")[0]


def reproduce(row: str, seed: int, inputs: Inputs, run: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Train, measure, compare."""
    train = train_unsup if _mode(row) == "unsup" else train_sup
    result = train(
        inputs.train,
        run,
        recipe=row,
        eval_data=inputs.senteval / "STS" / "STSBenchmark" / "sts-dev.csv",
        seed=seed,
        resume=(run / "run.json").is_file(),
        **({} if inputs.model is None else {"model": inputs.model}),
        **settings,
    )
    model = SimCSE(run, device=settings.get("device"))
    with model.full_length():
        measured = evaluate_sts(model.encoder_fn(show_progress_bar=True), inputs.senteval)
    published = ROWS[row]
    tasks = dict(zip(measured.scores, [*published.get("tasks", [None] * 7), published["average"]], strict=True))
    return {
        "row": row,
        "seed": seed,
        "scores": dict(measured.scores),
        "published": tasks,
        "difference": {name: measured.scores[name] - own for name, own in tasks.items() if own is not None},
        "seeds": published.get("seeds"),
        "best_step": result.best_step,
        "dev_spearman": result.best_score,
        "alignment": measured.alignment,
        "uniformity": measured.uniformity,
        "arguments": json.loads((run / "run.json").read_text(encoding="utf-8"))["arguments"],
    }


def scores_alone(results: Sequence[dict[str, Any]]) -> str:
    """Measured results, of a smoke run."""
    return _table([("", *results[0]["scores"]), *_rows(results)])


def comparison(results: Sequence[dict[str, Any]]) -> str:
    """Published and measured results, with the mean over the seeds if there are several."""
    names = list(results[0]["scores"])
    lines = [("", *names), ("published", *map(_shown, results[0]["published"].values())), *_rows(results)]
    means = {name: sum(result["scores"][name] for result in results) / len(results) for name in names}
    if len(results) > 1:
        lines.append(("mean", *map(_shown, means.values())))
    gaps = [None if own is None else means[name] - own for name, own in results[0]["published"].items()]
    lines.append(("difference", *("" if gap is None else f"{gap:+.2f}" for gap in gaps)))
    table = _table(lines)
    known = results[0]["seeds"]
    if known is None:
        return table
    inside = known["lowest"] <= means["avg"] <= known["highest"]
    return (
        f"{table}\nOver {known['count']} seeds the average was {known['lowest']} to {known['highest']}, "
        f"{known['mean']} in the mean: this is {'inside' if inside else 'outside'} of it."
    )


def _rows(results: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [(f"seed {result['seed']}", *map(_shown, result["scores"].values())) for result in results]


def _table(lines: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)


def _seeds(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"seeds are numbers, such as 1 2 3 or 1,2,3; got {text!r}") from error


def _shown(score: float | None) -> str:
    return "" if score is None else f"{score:.2f}"


def _inputs(arguments: argparse.Namespace, work: Path) -> Inputs:
    if arguments.smoke:
        return made_small(arguments.row, work)
    inputs = fetched(arguments.row, work) if arguments.data is None else found(arguments.row, arguments.data)
    return inputs if arguments.model is None else inputs._replace(model=arguments.model)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the unfinished seeds, and compare; a mistake, or an unreachable hub, prints one line."""
    try:
        _main(argv)
    except SimCSEKitError as error:
        sys.exit(f"error: {error}")


def _main(argv: Sequence[str] | None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("row", metavar="ROW", choices=ROWS, help=f"one of {', '.join(ROWS)}")
    parser.add_argument(
        "--seeds",
        type=_seeds,
        nargs="+",
        default=[[42]],
        metavar="N",
        help="such as 1 2 3 or 1,2,3; default: 42, as in the original's scripts",
    )
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="training file and senteval/, instead of the hub")
    parser.add_argument("--model", metavar="FOLDER", help="start model; default: the recipe's, from the hub")
    parser.add_argument("--smoke", action="store_true", help="the whole path on a small random model")
    parser.add_argument(
        "--mini-batch-size", type=int, help="for less memory, same gradient: see simcse-kit train --help"
    )
    parser.add_argument(
        "--work",
        type=Path,
        metavar="FOLDER",
        default=Path(tempfile.gettempdir()) / "simcse-kit-eval" / "reproduce",
        help="folder of the training runs and of the STS sets; default: %(default)s",
    )
    arguments = parser.parse_args(argv)
    row, work = arguments.row, arguments.work / "smoke" if arguments.smoke else arguments.work
    work.mkdir(parents=True, exist_ok=True)
    inputs = _inputs(arguments, work)
    settings = SMALL if arguments.smoke else {}
    if arguments.mini_batch_size:
        settings = settings | {"mini_batch_size": arguments.mini_batch_size}
    results, places = [], []
    for seed in (seed for group in arguments.seeds for seed in group):
        place = (work / row if arguments.smoke else RESULTS / "reproduce") / f"{row}-{seed}.json"
        if not place.is_file():
            run = work / row / f"seed-{seed}"
            write_result(f"reproduce/{row}-{seed}", reproduce(row, seed, inputs, run, settings), place)
        results.append(json.loads(place.read_text(encoding="utf-8")))
        places.append(str(place))
    if arguments.smoke:
        print("smoke run on a small random model: every step works, and the scores mean nothing")
    print(scores_alone(results) if arguments.smoke else comparison(results))
    print(f"results: {', '.join(places)}")


if __name__ == "__main__":
    main()
