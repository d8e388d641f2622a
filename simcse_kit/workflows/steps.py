"""The command that comes next where a job ends: it works on what the user has just made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from simcse_kit.data.columns import find_examples, find_scored, folded
from simcse_kit.data.id_column import column_names
from simcse_kit.encoding.export.part import EXPORT_FORMATS
from simcse_kit.search import open_collection
from simcse_kit.search.address import index_address
from simcse_kit.search.store import MANIFEST
from simcse_kit.training.record import run_of


class NextStep(NamedTuple):
    """Arguments of ``simcse-kit``, and what the user must know about them."""

    command: list[str]
    note: str = ""


def new_name(name: str) -> str:
    """``name``, or with -2, -3, ... behind its stem, so that nothing in the working folder has it."""
    path, number = Path(name), 1
    while path.exists():
        number += 1
        path = Path(name).with_stem(f"{Path(name).stem}-{number}")
    return str(path)


def after_training(run: Path, model: Path) -> NextStep:
    """Measure on the user's own data where a run has some, otherwise search the texts that it was trained on.

    Args:
        run: folder with the ``run.json``.
        model: what is measured: the same folder, or that of several seeds.
    """
    record = run_of(run) or {}
    data, measured = record.get("data") or {}, record.get("eval_data")
    reading: dict[str, Any] = data.get("reading", {})
    trust = ["--trust-remote-code"] if reading.get("trust_remote_code") else []
    if measured:
        source = str(measured["source"])
        suite = "retrieval" if Path(source).is_dir() else "pairs"
        chose = (record.get("arguments") or {}).get("select") in (None, "eval-data")
        return NextStep(
            ["eval", str(model), "--suite", suite, "--data", source, *trust],
            f"{source} chose the saved checkpoint, so the score on it is too high; to report a score, measure on other "
            "data"
            if chose
            else "",
        )
    source = str(data.get("source", ""))
    if label := reading.get("label_column"):
        columns = ["--label-column", label]
        columns += ["--text-column", reading["text_column"]] if reading.get("text_column") else []
        return NextStep(
            ["eval", str(model), "--suite", "labels", "--data", source, *columns, *trust],
            "the model was trained on these texts; on other texts its scores are usually lower",
        )
    options = _text_options(source, int(data.get("columns", 1)), reading)
    if options is None:
        return NextStep(["demo", "--model", str(run), *trust])
    return NextStep(["index", "build", str(run), source, new_name("my-index"), *options, *trust])


def _text_options(source: str, width: int, reading: dict[str, Any]) -> list[str] | None:
    """How ``index build`` reads the first texts of each row; None where no option names their column."""
    skip = ["--skip-bad-rows"] if reading.get("skip_bad_rows") else []
    header = reading.get("header")
    if width > 1 or reading.get("columns"):
        column = (reading.get("columns") or [_first_column(source, header)])[0]
        return None if column is None else ["--columns", column, *skip]
    return [*skip, *([] if header is None else ["--header" if header else "--no-header"])]


def _first_column(source: str, header: bool | None) -> str | None:
    """The name of the column of anchors, or of first sentences."""
    names = column_names(source, header)
    found = find_examples(folded(names)) or find_scored(folded(names))
    return names[found[0]] if found else None


def after_export(folder: Path, to: str, pairs: Path | None) -> NextStep | None:
    """Measure what was written on the user's pairs, or serve it; None where this package does not load the format."""
    loads_as = EXPORT_FORMATS.get(to).loads_as
    if loads_as is None:
        return None
    backend, dtype = loads_as
    options = ["--backend", backend, *([] if dtype == "float32" else ["--dtype", dtype])]
    if pairs is not None:
        return NextStep(["eval", str(folder), "--suite", "pairs", "--data", str(pairs), *options])
    return NextStep(["serve", str(folder), *options])


def after_judging(systems: Sequence[str], folder: Path, pooling: str | None, *, trust_remote_code: bool) -> NextStep:
    """Measure the models of two systems, of an index its own, on the judged queries."""
    named = [_model_of(system, trust_remote_code) for system in reversed(systems)]
    models = reversed({Path(name).resolve(): name for name in named}.values())  # one folder has several names
    options = ([] if pooling is None else ["--pooling", pooling]) + ["--trust-remote-code"] * trust_remote_code
    return NextStep(["eval", *models, "--suite", "retrieval", "--data", str(folder), *options])


def _model_of(system: str, trust_remote_code: bool) -> str:
    address = index_address(system)
    if address.uri is None and not (Path(address.path) / MANIFEST).is_file():
        return system
    return str(open_collection(address, trust_remote_code=trust_remote_code).info().model["name"])
