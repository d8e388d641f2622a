"""`adapt`: a model for search in your own texts, or the start model if training does not improve it."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simcse_kit.data import LabelledTexts, TextData
from simcse_kit.data.reading import MEMORY
from simcse_kit.encoder.hub import check_model_name
from simcse_kit.errors import DataError, ModelError, TrainingError, UnknownPoolingError, say_once
from simcse_kit.evaluation import Difference, SuiteResult, compare, evaluate_labels, evaluate_retrieval
from simcse_kit.evaluation.gate import Gate, gate
from simcse_kit.evaluation.judgements import record_use, text_id, used_queries
from simcse_kit.evaluation.labels import Labelled
from simcse_kit.evaluation.retrieval import load_retrieval
from simcse_kit.evaluation.signs import SearchSigns, signs
from simcse_kit.evaluation.used import without_used
from simcse_kit.files import write_json
from simcse_kit.model import SimCSE
from simcse_kit.tabular import Tabular
from simcse_kit.training.checkpoints import checkpoints, remove_checkpoints, step_of
from simcse_kit.training.events import TrainListener, TrainResult
from simcse_kit.training.output import (
    check_output,
    check_overwrite,
    check_owner,
    check_stopped,
    folder_of_run,
    run_folder,
)
from simcse_kit.training.run import train_sup, train_unsup
from simcse_kit.wording import counted
from simcse_kit.workflows.measured import measured_methods
from simcse_kit.workflows.methods import Method, choose_method
from simcse_kit.workflows.steps import new_name
from simcse_kit.workflows.texts import GATED, Texts, read_texts

RECORD = "adapt.json"


@dataclass(frozen=True, kw_only=True, repr=False)
class AdaptResult(Tabular):
    """Result of `adapt`; its lines describe it."""

    output_dir: Path
    start: str
    texts: Texts
    method: Method
    training: TrainResult
    gate: Gate | None  # None below 500 texts, which are too few to hold some out, and if classes decide
    figures: Difference | None  # start and trained model on the user's own judgements or classes; None without these
    results: tuple[SuiteResult, SuiteResult] | None  # results behind the figures: of start model and trained model
    measured_on: str  # data of the figures; "" if there are none
    kept_start: bool  # whether the start model was saved
    seconds: float

    def __repr__(self) -> str:
        kept = "the start model was kept" if self.kept_start else f"method={self.method.name!r}"
        return f"AdaptResult({str(self.output_dir)!r}, {kept}, {counted(self.texts.count, 'text')})"

    def _records(self) -> list[dict[str, str]]:
        return [{"": name, "what adapt did": line} for name, line in self.lines()]

    def lines(self) -> list[tuple[str, str]]:
        """Five lines: data, method, gate, figures, next."""
        *facts, (figures, found) = self.facts()
        measure = "" if self.measure is None else f". To measure: {shlex.join(['simcse-kit', *self.measure])}"
        return [*facts, (figures, found + measure), ("next", shlex.join(["simcse-kit", *self.next]))]

    def facts(self) -> list[tuple[str, str]]:
        """The lines without the commands: data, method, gate, figures."""
        texts = self.texts
        held_out = f", {len(texts.held_out):,} of them held out to check" if texts.held_out else ""
        empty = "text or class" if texts.labels is not None else "text"
        dropped = (
            f"; left out {counted(texts.dropped, 'row')} that have no {empty} or repeat another"
            if texts.dropped
            else ""
        )
        return [
            ("data", f"{texts.count:,} distinct texts of {texts.source}{held_out}{dropped}"),
            ("method", f"{self.method.words}; {counted(self.training.steps, 'step')}, {self.seconds:.0f} s"),
            ("gate", self._gate()),
            ("figures", self._figures()),
        ]

    @property
    def next(self) -> list[str]:
        """Arguments of ``simcse-kit`` that make an index of the texts."""
        header = [] if self.texts.header is None else ["--header" if self.texts.header else "--no-header"]
        file, options = self._file()
        options += [] if self.texts.id_column is None else ["--id-column", self.texts.id_column]
        return ["index", "build", str(self.output_dir), file, new_name("my-index"), *options, *header]

    @property
    def measure(self) -> list[str] | None:
        """Arguments of ``simcse-kit`` that compare the model with the start; None after a measurement."""
        if self.figures is not None or self.kept_start:
            return None
        file, options = self._file()
        return ["judge", self.start, str(self.output_dir), file, "--output", new_name("judged"), *options]

    def _file(self) -> tuple[str, list[str]]:
        """How another command reads the texts: the file, and options."""
        file = "TEXTS" if self.texts.source.startswith("<") else self.texts.source  # from a list: <memory>
        return file, [] if self.texts.column is None else ["--columns", self.texts.column]

    def _gate(self) -> str:
        if self.gate is None:
            if self.figures is not None and self.texts.labels is not None:
                return "not needed: the classes of the held-out texts decide"
            return f"none: it needs {GATED} distinct texts, so harm to search would not be noticed"
        return self.gate.line()

    def _figures(self) -> str:
        kept = "; the start model is saved" if self.kept_start else ""
        if self.figures is None:
            few = f"fewer than {GATED} texts, so none are held out for measuring"
            none = "none: " + ("no judgements and no classes" if self.texts.labels is None else few)
            if self.kept_start:
                return none + kept
            taught = self.method.settings.get("teacher", self.start) != self.start
            known = None if taught else measured_methods().get(self.method.name)
            return none + ("" if known is None else f"; {known.words()}")
        found, (low, high) = self.figures, self.figures.interval
        return (
            f"{found.score} on {self.measured_on}: {found.first:.1f} before, {found.second:.1f} after, difference "
            f"{found.difference:+.1f} (95 % interval {low:+.1f} to {high:+.1f}): {found.verdict}{kept}"
        )


def adapt(
    texts: str | Path | Sequence[str] | TextData | LabelledTexts,
    model: str | Path,
    output_dir: str | Path,
    *,
    teacher: str | Path | None = None,
    label_column: str | None = None,
    text_column: str | None = None,
    judgements: str | Path | None = None,
    columns: Sequence[str] | None = None,
    header: bool | None = None,
    skip_bad_rows: bool = False,
    seed: int = 42,
    device: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    trust_remote_code: bool = False,
    local_files_only: bool = False,
    listener: TrainListener | None = None,
) -> AdaptResult:
    """Adapt a sentence encoder to texts, so that search in them improves; no setting needs tuning.

    Training uses classes if there are any, else titles and bodies, else the neighborhoods of the texts, see
    `choose_method`. The result must be better on your judgements or classes if there are any; otherwise the gate on
    held-out texts must pass. If not, the start model is saved.

    Args:
        texts: a file (.txt, .csv, .tsv, .jsonl, .parquet, each also .gz), ``hf:NAME[:split]``, or the texts themselves.
        model: folder or name of the sentence encoder to start from.
        output_dir: becomes the model after the check; ``adapt.json`` records what was done.
        teacher: a larger sentence encoder that teaches instead of the start model; not with classes.
        label_column: column with the classes of the texts.
        text_column: column of the texts, with ``label_column``.
        judgements: a folder in BEIR's layout whose queries decide whether the result replaces the start model. Texts
            equal to one of them are not used in training.
        columns, header, skip_bad_rows: see `simcse_kit.train_unsup`.
        seed: random seed of the training; the held-out texts do not depend on it.
        device: torch device; None is the first accelerator, else the CPU.
        resume: continue a run that was stopped; a complete one has no checkpoints.
        overwrite: replace the run in ``output_dir``.
        trust_remote_code: run Python code from the start model's folder.
        local_files_only: never ask the hub.
        listener: receives the events of the training run.

    Raises:
        DataError: a file, column or row cannot be used.
        ModelError: the start model cannot be loaded, or records no pooling.
        TrainingError: fewer than 50 distinct texts, only one class, or an unsuitable output folder. Nothing has been
            created.
        TrainingInterrupted: the user stopped the training; continue with ``resume``.
    """
    began = time.perf_counter()
    target = Path(output_dir)
    check_owner(target)
    check_output(target, resume=resume, overwrite=overwrite)
    check_model_name(model)
    if not (resume or overwrite):
        check_stopped(target)
    folder = folder_of_run(target, resume=resume, overwrite=overwrite, apart=True)
    if resume and folder == target and (target / RECORD).is_file():
        raise TrainingError(f"{target} is complete, so nothing can be resumed; use --overwrite to replace it")
    if overwrite:
        check_overwrite(target, [model, teacher, texts, judgements])
    judged = [] if judgements is None else _judged_queries(judgements, model)
    found = read_texts(
        texts,
        queries=judged,
        label_column=label_column,
        text_column=text_column,
        columns=columns,
        header=header,
        skip_bad_rows=skip_bad_rows,
    )
    if teacher is not None and found.labels is not None:
        raise TrainingError("a teacher is for texts without classes; give either teacher or classes")
    how = {"device": device, "trust_remote_code": trust_remote_code, "local_files_only": local_files_only}
    start = _sentence_encoder(model, how)
    method = choose_method(found, start, None if teacher is None else str(teacher), str(model), seed)
    before = _signs(start, found)
    figures_before = _figures(start, found, judgements, model)
    del start
    train = train_unsup if method.mode == "unsup" else train_sup
    with nullcontext() if folder == target else run_folder(target, folder, resume=resume):
        result = train(
            method.data,
            folder,
            model=str(model),
            seed=seed,
            resume=resume,
            listener=listener,
            select="last",
            **method.settings,
            **how,
        )
        trained = SimCSE(folder, **how)  # type: ignore[arg-type]
        after = _signs(trained, found)
        checked = None if before is None or after is None else gate(before, after)
        figures_after = _figures(trained, found, judgements, model)
        results = None if figures_before is None or figures_after is None else (figures_before, figures_after)
        figures = None if results is None else compare(results[:1], results[1:])[0]
        harmed = checked is not None and not checked.passed
        kept_start = harmed if figures is None else figures.verdict != "better"
        if kept_start:
            SimCSE(model, **how).save(folder)  # type: ignore[arg-type]  # the record of the run stays
        elif trained.record.get("data", {}).get("source") == MEMORY:  # the texts were read here
            trained.record = trained.record | {"data": trained.record["data"] | {"source": found.source}}
            trained.write_card(folder)
        adapted = AdaptResult(
            output_dir=target,
            start=str(model),
            texts=found,
            method=method,
            training=result._replace(output_dir=target),
            gate=checked,
            figures=figures,
            results=results,
            measured_on=_measured_on(found, judgements) if figures else "",
            kept_start=kept_start,
            seconds=time.perf_counter() - began,
        )
        _record(adapted, folder)
        if judgements is not None:
            record_use(folder, judged, purpose="selection", folder=judgements, start=model, by=target)
        remove_checkpoints(folder, {*map(step_of, checkpoints(folder))})
    return adapted


def _sentence_encoder(model: str | Path, how: dict[str, Any]) -> SimCSE:
    """The start model. Raises a `ModelError` that says what to do for a raw encoder."""
    try:
        return SimCSE(model, **how)
    except UnknownPoolingError as error:
        raise ModelError(
            f"adapting needs a sentence encoder, but {model} does not record how its vectors are pooled: it is "
            "a raw encoder. First train it with simcse-kit train unsup (or sup), or start from all-MiniLM-L6-v2"
        ) from error


def _signs(model: SimCSE, texts: Texts) -> SearchSigns | None:
    """Signs of held-out texts; None if classes teach: they change the signs without harm."""
    gated = texts.held_out and texts.labels is None
    return signs(model.encode_document, texts.held_out) if gated else None


def _figures(model: SimCSE, texts: Texts, judgements: str | Path | None, start: str | Path) -> SuiteResult | None:
    """The user's own measure of a model: judgements not used by the start model, else held-out labelled texts."""
    if judgements is not None:
        return without_used(evaluate_retrieval(model.encoder_fn(), judgements), [start])
    if texts.labels is None or texts.held_out_labels is None or not texts.held_out:
        return None
    held_out = LabelledTexts(texts.held_out, texts.held_out_labels, texts.source)
    return evaluate_labels(
        model.encoder_fn(), Labelled(held_out, LabelledTexts(texts.texts, texts.labels, texts.source))
    )


def _measured_on(texts: Texts, judgements: str | Path | None) -> str:
    if judgements is not None:
        return f"the judged queries of {judgements}"
    return f"{len(texts.held_out):,} held-out texts with classes"


def _judged_queries(judgements: str | Path, start: str | Path) -> list[str]:
    """Texts of the queries that measure the result: those that the start model has not used.

    Raises:
        DataError: the folder cannot be read, or it does not exist.
    """
    loaded = load_retrieval(judgements)
    used = used_queries(start)
    queries = [query for name in loaded.relevance if text_id(query := loaded.queries[name]) not in used]
    if left_out := len(loaded.relevance) - len(queries):
        said = f"{left_out:,} of {len(loaded.relevance):,} judged queries were used to train or select {start}"
        if not queries:
            raise DataError(f"{judgements}: {said}, so they cannot measure the result; judge other queries")
        say_once(f"{judgements}: {said}; they do not count")
    return queries


def _record(made: AdaptResult, folder: Path) -> None:
    written: dict[str, Any] = {
        "source": made.texts.source,
        "texts": made.texts.count,
        "held_out": len(made.texts.held_out),
        "dropped": made.texts.dropped,
        "method": made.method.name,
        "settings": made.method.settings,
        "steps": made.training.steps,
        "gate": None
        if made.gate is None
        else {"passed": made.gate.passed, "signs": [change._asdict() for change in made.gate.changes]},
        "figures": None if made.figures is None else made.figures._asdict() | {"measured_on": made.measured_on},
        "kept_start": made.kept_start,
        "lines": dict(made.lines()),
        "seconds": round(made.seconds, 1),
    }
    write_json(folder / RECORD, written)
