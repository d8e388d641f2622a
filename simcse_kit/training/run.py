"""`train_unsup` and `train_sup`: from a file to a saved model."""

from __future__ import annotations

import json
import platform
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypedDict, Unpack

import torch

from simcse_kit.data import TextData, read_examples, read_scored_pairs, read_sentences
from simcse_kit.encoder.hub import resolve
from simcse_kit.encoder.load import load_encoder
from simcse_kit.errors import TrainingError, TrainingInterrupted
from simcse_kit.evaluation import evaluate_pairs
from simcse_kit.files import read_json, staged_folder, write_json
from simcse_kit.model import SimCSE, pick_device
from simcse_kit.training.batches import TrainingRows
from simcse_kit.training.config import TrainConfig, make_config, recipes
from simcse_kit.training.events import TrainListener, TrainPlan, TrainResult
from simcse_kit.training.objective import build_objective
from simcse_kit.training.preflight import RUN_RECORD, check_output, check_rows, check_space, check_views
from simcse_kit.types import ScoredPairs

Source = str | Path | Sequence[str] | Sequence[tuple[str, ...]]
_LOGGING_STEPS = 10
_FREE_TO_CHANGE = {"device", "report_to"}  # between a run and its resumption


class TrainSettings(TypedDict, total=False):
    """Keyword arguments of `train_unsup` and `train_sup`; what is not given comes from the recipe or the mode."""

    model: str | Path  # folder or hub name to start from; needed unless the recipe names one
    recipe: str | None  # one of `simcse-kit recipes`
    eval_data: str | Path | ScoredPairs | None  # scored pairs; the best checkpoint by their Spearman is the result
    pooling: str | None
    train_head: str | None
    epochs: float | None
    batch_size: int | None
    learning_rate: float | None
    max_seq_length: int | None
    temperature: float | None
    hard_negative_weight: float | None
    mlm_weight: float | None
    dropout: float | None
    eval_steps: int | None
    seed: int | None
    bf16: bool | None
    device: str | None
    report_to: str | None
    columns: Sequence[str] | None  # of the data file
    header: bool | None  # of the data file; None: told from its first row
    skip_bad_rows: bool
    resume: bool
    overwrite: bool
    listener: TrainListener | None
    trust_remote_code: bool
    local_files_only: bool


def train_unsup(data: Source, output_dir: str | Path, **settings: Unpack[TrainSettings]) -> TrainResult:
    """Unsupervised SimCSE (Gao et al., 2021, section 3): a sentence and itself under another dropout mask.

    Args:
        data: a file (.txt, .csv, .tsv, .jsonl, .parquet, each also .gz), ``hf:NAME[:split]``, or a sequence of sentences.
        output_dir: becomes the model; checkpoints, ``metrics.jsonl`` and ``run.json`` lie inside it.
        **settings: see `TrainSettings`; the defaults are the recipe ``unsup``.

    Raises:
        DataError: a row that cannot be used, with file and line.
        ModelError: the start model cannot be loaded.
        TrainingError: a setting, the output folder or the disk is not fit; nothing has been created then.
        TrainingInterrupted: the user stopped the run; a checkpoint was saved.
    """
    return _train("unsup", data, Path(output_dir), settings)


def train_sup(data: Source, output_dir: str | Path, **settings: Unpack[TrainSettings]) -> TrainResult:
    """Supervised SimCSE (section 4): pairs (anchor, positive) or triplets with a hard negative, as from NLI.

    Arguments, result and errors as in `train_unsup`; the defaults are the recipe ``sup``.
    """
    return _train("sup", data, Path(output_dir), settings)


def _train(mode: str, source: Source, output_dir: Path, settings: TrainSettings) -> TrainResult:
    names = TrainConfig.__dataclass_fields__
    given = {key: value for key, value in settings.items() if key in names}
    if "model" in settings:
        given["model"] = str(settings["model"])
    config = make_config(mode, settings.get("recipe"), given)
    resume, listener = settings.get("resume", False), settings.get("listener") or TrainListener()
    check_output(output_dir, resume=resume, overwrite=settings.get("overwrite", False))
    data = _read(mode, source, settings)
    check_rows(data, config)
    pairs = _eval_pairs(settings.get("eval_data"))

    from transformers import set_seed

    set_seed(config.seed)
    device = pick_device(config.device)
    start = resolve(
        config.model,
        local_files_only=settings.get("local_files_only", False),
        trust_remote_code=settings.get("trust_remote_code", False),
    )
    loaded = load_encoder(
        start,
        pooling=config.pooling,
        default_pooling=recipes()[mode]["pooling"],
        training=True,
        dropout=config.dropout,
        trust_remote_code=settings.get("trust_remote_code", False),
    )
    model = SimCSE.from_loaded(loaded, name=config.model, device=device)
    if model.max_seq_length is not None and config.max_seq_length > model.max_seq_length:
        config = replace(config, max_seq_length=model.max_seq_length)
    objective = build_objective(model.encoder, model.tokenizer, config, loaded.folder).to(device)
    rows, truncated = _tokenized(model, data, config)
    if mode == "unsup":
        check_views(objective, rows)
    check_space(output_dir, objective)

    from simcse_kit.training.trainer import checkpoints, settle_best, uses_bf16

    bf16 = uses_bf16(config.bf16, device)
    record = _record(config, data, pairs)
    if settings.get("overwrite", False):
        shutil.rmtree(output_dir, ignore_errors=True)
    done = checkpoints(output_dir) if resume else []
    if resume:
        _check_same_run(output_dir, record)
        if done:
            settle_best(output_dir.absolute(), done[-1])
    origin = "recipe" if config.recipe and config.pooling else loaded.pooling_origin
    plan = _plan(config, data, rows, truncated, model, origin, bf16, pairs, settings, output_dir, done)
    output_dir.mkdir(parents=True, exist_ok=True)
    write_json(output_dir / RUN_RECORD, record)
    listener.started(plan)
    return _run(config, plan, model, objective, rows, pairs, done[-1] if done else None, listener, record)


def _run(
    config: TrainConfig,
    plan: TrainPlan,
    model: SimCSE,
    objective: Any,
    rows: TrainingRows,
    pairs: ScoredPairs | None,
    checkpoint: Path | None,
    listener: TrainListener,
    record: dict[str, Any],
) -> TrainResult:
    """Step the trainer from the start or from ``checkpoint``, then save the model."""
    from transformers import PrinterCallback

    from simcse_kit.training.trainer import ContrastiveTrainer, RunCallback

    output_dir = plan.output_dir
    callback = RunCallback(output_dir, listener)
    trainer = ContrastiveTrainer(
        objective=objective,
        saved=model,
        rows=rows,
        args=_arguments(config, plan, resumed=checkpoint is not None),
        score=_scorer(model, pairs) if pairs is not None else None,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(callback)
    began = time.perf_counter()
    with _stop_after_step(callback):
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    state = trainer.state
    if callback.stop_asked and state.global_step < state.max_steps:
        raise TrainingInterrupted(
            f"stopped after step {state.global_step} of {state.max_steps}; {output_dir}/checkpoint-{state.global_step} "
            "holds it. --resume goes on from there"
        )
    seconds = time.perf_counter() - began
    scores = _eval_history(output_dir)
    result = TrainResult(
        output_dir=output_dir,
        steps=state.global_step,
        best_step=state.best_global_step,
        best_score=state.best_metric,
        start_score=scores[0][1] if scores and scores[0][0] == 0 else None,
        seconds=seconds,
        sentences_per_second=(state.max_steps - plan_step(plan)) * config.batch_size / max(seconds, 1e-9),
    )
    if trainer.is_world_process_zero():
        model.record = record["model_record"] | {"steps": result.steps, "best_step": result.best_step}
        if result.best_score is not None:
            model.record["scores"] = {"eval_spearman": result.best_score, "eval_spearman_at_start": result.start_score}
        with staged_folder(output_dir) as staging:
            model.write(staging)
    listener.finished(result)
    return result


def plan_step(plan: TrainPlan) -> int:
    """The step that a run starts from."""
    return plan.resumed_from or 0


def _read(mode: str, source: Source, settings: TrainSettings) -> TextData:
    read = read_sentences if mode == "unsup" else read_examples
    return read(
        source,  # type: ignore[arg-type]
        columns=settings.get("columns"),
        header=settings.get("header"),
        skip_bad_rows=settings.get("skip_bad_rows", False),
    )


def _eval_pairs(source: str | Path | ScoredPairs | None) -> ScoredPairs | None:
    return source if source is None or isinstance(source, ScoredPairs) else read_scored_pairs(source)


def _tokenized(model: SimCSE, data: TextData, config: TrainConfig) -> tuple[TrainingRows, int]:
    """Every column as tokens with the model's default prompt; unsupervised, the one column is both views."""
    if not model.settings.include_prompt and model.default_prompt():
        raise TrainingError("training a model that leaves its default prompt out of the pooling is not supported")
    prompt = model.default_prompt()
    tables = [
        model.tokenize([prompt + text for text in data.column(i)], max_seq_length=config.max_seq_length)
        for i in range(data.width)
    ]
    views = tables * 2 if data.width == 1 else tables
    return TrainingRows(views, model.tokenizer.pad_token_id), sum(table.truncated for table in tables)


def _scorer(model: SimCSE, pairs: ScoredPairs) -> Callable[[], dict[str, float]]:
    """Spearman x 100, alignment and uniformity of the model on scored pairs, sentences in full length."""
    encode = model.encoder_fn(batch_size=128)

    def score() -> dict[str, float]:
        with model.full_length():
            result = evaluate_pairs(encode, pairs)
        return {
            "spearman": result.scores["spearman"],
            "alignment": result.alignment,
            "uniformity": result.uniformity,
        }

    return score


def _arguments(config: TrainConfig, plan: TrainPlan, *, resumed: bool) -> Any:
    from transformers import TrainingArguments

    evaluates = plan.eval_source is not None
    arguments = TrainingArguments(
        output_dir=str(plan.output_dir.absolute()),
        per_device_train_batch_size=config.batch_size,
        num_train_epochs=config.epochs,
        learning_rate=config.learning_rate,
        lr_scheduler_type="linear",
        seed=config.seed,
        data_seed=config.seed,
        bf16=plan.precision == "bfloat16",
        use_cpu=plan.device == "cpu",
        logging_strategy="steps",
        logging_steps=_LOGGING_STEPS,
        eval_strategy="steps" if evaluates else "no",
        eval_steps=config.eval_steps,
        eval_on_start=evaluates and not resumed,
        save_strategy="steps",
        save_steps=config.eval_steps,
        load_best_model_at_end=evaluates,
        metric_for_best_model="spearman" if evaluates else None,
        greater_is_better=True if evaluates else None,
        report_to=config.report_to,
        remove_unused_columns=False,
        dataloader_pin_memory=plan.device.startswith("cuda"),
        disable_tqdm=True,
        label_names=[],
    )
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # one process is one device; more devices are torchrun's
    return arguments


def _plan(
    config: TrainConfig,
    data: TextData,
    rows: TrainingRows,
    truncated: int,
    model: SimCSE,
    origin: str,
    bf16: bool,
    pairs: ScoredPairs | None,
    settings: TrainSettings,
    output_dir: Path,
    done: list[Path],
) -> TrainPlan:
    batches = -(-len(data) // config.batch_size)
    return TrainPlan(
        mode=config.mode,
        model=config.model,
        output_dir=output_dir,
        rows=len(data),
        columns=data.width,
        empty=data.empty,
        skipped=len(data.skipped),
        tokens=sum(int(view.offsets[-1]) for view in rows.views[: data.width]),
        truncated=truncated,
        max_seq_length=config.max_seq_length,
        batch_size=config.batch_size,
        devices=1,
        negatives=config.batch_size - 1 + (config.batch_size if data.width == 3 else 0),
        steps=max(1, int(-(-batches * config.epochs // 1))),
        epochs=config.epochs,
        learning_rate=config.learning_rate,
        temperature=config.temperature,
        pooling=model.pooling,
        pooling_origin=origin,
        train_head=config.train_head,
        mlm_weight=config.mlm_weight,
        device=str(model.device),
        precision="bfloat16" if bf16 else "float32",
        seed=config.seed,
        eval_source=None if pairs is None else pairs.source,
        eval_pairs=0 if pairs is None else len(pairs.gold),
        eval_steps=config.eval_steps,
        resumed_from=int(done[-1].name.rsplit("-", 1)[1]) if done else None,
    )


def _record(config: TrainConfig, data: TextData, pairs: ScoredPairs | None) -> dict[str, Any]:
    """What ``run.json`` says: everything that the result depends on."""
    packages = ("torch", "transformers", "accelerate", "tokenizers", "numpy", "simcse-kit")
    fingerprint = data.fingerprint()
    versions = {name: version(name) for name in packages} | {"python": platform.python_version()}
    model_record = {
        "objective": "simcse",
        "mode": config.mode,
        "model": config.model,
        "recipe": config.recipe,
        "train_head": config.train_head,
        "training": {
            key: value for key, value in asdict(config).items() if key not in ("mode", "model", "recipe", "train_head")
        },
        "data": {"source": data.source, "rows": len(data), "sha256": fingerprint},
        "versions": versions,
    }
    return {
        "arguments": asdict(config),
        "data": {"source": data.source, "rows": len(data), "columns": data.width, "sha256": fingerprint},
        "eval_data": None if pairs is None else {"source": pairs.source, "pairs": len(pairs.gold)},
        "versions": versions,
        "machine": {"processor": platform.processor() or platform.machine(), "threads": torch.get_num_threads()},
        "model_record": model_record,
    }


def _check_same_run(output_dir: Path, record: dict[str, Any]) -> None:
    """A resumed run has the settings and the data of the run it goes on with."""
    path = output_dir / RUN_RECORD
    if not path.is_file():
        return
    before = read_json(path)
    for key, value in record["arguments"].items():
        was = before["arguments"].get(key)
        if key not in _FREE_TO_CHANGE and was != value:
            raise TrainingError(f"--resume: {key} was {was!r} in the run that {output_dir} holds, now it is {value!r}")
    if before["data"]["sha256"] != record["data"]["sha256"]:
        raise TrainingError(
            f"--resume: {record['data']['source']} has changed since the run began ({before['data']['rows']} rows of "
            f"{before['data']['source']} then, {record['data']['rows']} now)"
        )


def _eval_history(output_dir: Path) -> list[tuple[int, float]]:
    from simcse_kit.training.trainer import METRICS

    path = output_dir / METRICS
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
    return [(line["step"], line["eval_spearman"]) for line in lines if "eval_spearman" in line]


@contextmanager
def _stop_after_step(callback: Any) -> Iterator[None]:
    """First Ctrl-C: finish the step, save, stop. Second: at once. Only a main thread may handle signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def handle(number: int, frame: Any) -> None:
        callback.stop_asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
