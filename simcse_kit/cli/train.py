"""``simcse-kit train unsup|sup`` and ``train --repeat``."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from simcse_kit.cli.completion import model_folders
from simcse_kit.cli.objectives import score_of
from simcse_kit.cli.options import (
    COLUMNS_HELP,
    FILE_HELP,
    HEADER_HELP,
    SKIP_HELP,
    TRUST_HELP,
    Device,
    TrustRemoteCode,
    columns_of,
    completes_list,
    device_names,
)
from simcse_kit.cli.panels import Choices, with_choices
from simcse_kit.encoder.poolers import POOLERS
from simcse_kit.objectives import AUGMENTATIONS, OBJECTIVES
from simcse_kit.parts import allowed
from simcse_kit.training.config import COMMON, LISTS, part_settings
from simcse_kit.training.recipes import mode_defaults, recipes
from simcse_kit.wording import counted

if TYPE_CHECKING:
    from simcse_kit.training.events import TrainResult
    from simcse_kit.training.seeds import SeedsResult

_MORE = """
OUTPUT_DIR becomes the model; checkpoints, metrics.jsonl and run.json are inside it.

Several GPUs, or several machines (run the command on each; all must see the same folder):

\b
  torchrun --nproc-per-node 4 -m simcse_kit train {mode} FILE --output-dir DIR
\b
  torchrun --nnodes 2 --nproc-per-node 4 --rdzv-backend c10d \\
    --rdzv-endpoint HOST:29500 -m simcse_kit train {mode} FILE --output-dir DIR

Each device then has --batch-size rows; negatives come from all devices.
"""
_UNSUP = """Train on plain sentences: each one and itself under another dropout mask are a pair (unsupervised SimCSE).

This is for raw encoders such as BERT. A model that is already a sentence encoder usually searches worse afterwards:
use simcse-kit adapt for it.

Example: simcse-kit train unsup tickets.txt --model google-bert/bert-base-uncased --output-dir my-model
Example: simcse-kit train unsup tickets.txt --recipe unsup-bert-base --eval-data sts-dev.csv --output-dir my-model
"""
_SUP = """Train on pairs (sentence, positive) or triplets (with a hard negative), as from NLI (supervised SimCSE).

FILE can also hold scored pairs (sentence1, sentence2, score) for the objectives cosent and angle, or, with
--label-column, a text and a class in each row (SupCon).

Example: simcse-kit train sup nli.csv --recipe sup-bert-base --output-dir my-model --eval-data sts-dev.csv
Example: simcse-kit train sup tickets.csv --label-column intent --model all-MiniLM-L6-v2 --output-dir my-model

If the data would make fewer than 100 steps, the batches are smaller (a tenth of the rows, at least 16) and there are
more epochs. A given --batch-size, --epochs or --recipe keeps its values.
"""
_ROWS = {
    "unsup": FILE_HELP,
    "sup": "Rows of 2 or 3 texts: .csv, .tsv, .jsonl or .parquet, each also .gz, or hf:NAME[:split]; with the columns "
    "sent0,sent1[,hard_neg] or anchor,positive[,negative].",
}
_FIRST = ("model", "recipe")  # options shown first


def train_command(mode: str) -> Callable[..., None]:
    """Make the command of one mode, with an option for each setting of the run, its objectives and its terms.

    Defaults are those of the mode; the help has one panel per kind of setting.
    """

    def command(file: str, output_dir: Path, seeds: str | None, columns: str | None, **settings: Any) -> None:
        from simcse_kit.cli.progress import TerminalListener
        from simcse_kit.launch import world
        from simcse_kit.training.run import train_sup, train_unsup
        from simcse_kit.training.seeds import train_seeds

        settings |= {name: _list(name, settings.get(name)) for name in LISTS} | {"columns": columns_of(columns)}
        listener = TerminalListener()
        try:
            if seeds is not None:
                numbers = _numbers("--seeds", seeds)
                found = train_seeds(mode, file, output_dir, numbers, listener=listener, **settings)
            else:
                train = train_unsup if mode == "unsup" else train_sup
                result = train(file, output_dir, listener=listener, **settings)
        finally:
            listener.close()
        if world().rank == 0:
            _tell_seeds(found, output_dir) if seeds is not None else _tell(result)
        _end()

    first = [field for field in COMMON if field.name in _FIRST]
    parameters = [
        _parameter("file", Annotated[str, typer.Argument(help=_ROWS[mode], metavar="FILE")]),
        _parameter("output_dir", _panelled(Path, "Output", "Folder of the trained model. It must be new or empty.")),
        *(_option(mode, field) for field in first),
        _parameter("eval_data", _panelled(str | None, "Selection", _EVAL_DATA), None),
        _parameter(
            "objective", _panelled(str | None, "Objective", _objectives(mode), autocompletion=OBJECTIVES.names), None
        ),
        *(_option(mode, field) for field in (*COMMON, *part_settings(mode).values()) if field not in first),
        _parameter("seeds", _panelled(str | None, "Optimisation", _SEEDS), None),
        _parameter("columns", _panelled(str | None, "Data", COLUMNS_HELP), None),
        *(_parameter(name, _panelled(str | None, "Data", text), None) for name, text in _LABELS[mode].items()),
        *(_parameter(name, _panelled(bool, "Data", text, option), False) for name, option, text in _FLAGS[mode]),
        _parameter("header", _panelled(bool | None, "Data", HEADER_HELP, "--header/--no-header"), None),
        _parameter("skip_bad_rows", _panelled(bool, "Data", SKIP_HELP, "--skip-bad-rows"), False),
        _parameter("resume", _panelled(bool, "Output", _RESUME, "--resume"), False),
        _parameter("overwrite", _panelled(bool, "Output", _OVERWRITE, "--overwrite"), False),
        _parameter("trust_remote_code", _panelled(bool, "Model", TRUST_HELP, "--trust-remote-code"), False),
    ]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__doc__ = (_UNSUP if mode == "unsup" else _SUP) + _MORE.format(mode=mode)
    return with_choices(_choices(mode))(command)


_LABELS: dict[str, dict[str, str]] = {
    "unsup": {},
    "sup": {
        "label_column": "Column with the class of each text; chooses --objective supcon. Default: rows are pairs.",
        "text_column": "With --label-column: column of the texts. Default: text or sentence, or the only other one.",
    },
}
_POSITIVES = "Train only on the pairs with the highest label or score. --columns then names both texts and the label."
_FLAGS: dict[str, list[tuple[str, str, str]]] = {
    "unsup": [],
    "sup": [("positives_only", "--positives-only", _POSITIVES)],
}
_EVAL_DATA = (
    "File of scored pairs, such as STS-B dev, or folder of judged queries (see judge): the best checkpoint on it is "
    "saved, or the start model if none scores higher. Default: none, the last checkpoint is saved."
)
_SEEDS = "Train a run for each seed, such as 1,2,3, into OUTPUT_DIR/seed-N, and compare them. Default: one, by --seed."
_RESUME = "Continue from the last checkpoint in OUTPUT_DIR."
_OVERWRITE = "Replace the run in OUTPUT_DIR when the new one is complete."


def _parameter(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _panelled(kind: Any, panel: str, text: str, *names: str, **more: Any) -> Any:
    """An option in a panel of the help."""
    return Annotated[kind, typer.Option(*names, help=text, rich_help_panel=panel, **more)]


def _named(mode: str) -> Callable[[], list[str]]:
    return lambda: [one.name for one in OBJECTIVES if mode in one.modes]


def _objectives(mode: str) -> str:
    default = "simcse" if mode == "unsup" else "simcse, or supcon with --label-column"
    return f"What to train for, see below: {', '.join(_named(mode)())}; or MODULE:NAME. Default: {default}."


def _choices(mode: str) -> Choices:
    """What the objectives, poolers and augmentations are."""
    families: dict[str, Iterable[Any]] = {
        "Objectives (more: simcse-kit objectives NAME)": [one for one in OBJECTIVES if mode in one.modes],
        "Poolings": POOLERS,
        "Augmentations": AUGMENTATIONS,
    }
    return {title: {part.name: part.help for part in parts} for title, parts in families.items()}


def _option(mode: str, field: dataclasses.Field[Any]) -> inspect.Parameter:
    """The option of a setting: type, help and default."""
    name, text = field.name, field.metadata["help"]
    default = mode_defaults(mode).get(name, field.default)
    if name == "pooling":
        names = ", ".join(POOLERS.names())
        text = f"How token vectors become the vector of a sentence, see below: {names}; or MODULE:NAME. Default: what "
        text += f"the model's folder says, otherwise {default}."
    elif isinstance(default, int | float) and not isinstance(default, bool):
        text += f" {_range(field)}Default: {default:g}."
    elif default not in (None, ()) and not isinstance(default, bool):
        text += f" Default: {default}."
    elif field.metadata["bounds"]:
        said, word, rest = text.partition("Default:")
        text = said + _range(field) + word + rest
    panel = (field.metadata.get("panel") or "objective").capitalize()
    kind = _kind(field)
    if kind is bool:
        on, off = (f"--{word}{name.replace('_', '-')}" for word in ("", "no-"))
        if name.startswith("no_"):
            off = f"--{name.removeprefix('no_').replace('_', '-')}"
        text += " Default: on." if default is True else ""
        return _parameter(name, _panelled(bool | None, panel, text, f"{on}/{off}"), None)
    shown = {"metavar": f"<{'|'.join(field.metadata['choices'])}>"} if field.metadata["aliases"] else {}
    completes = _COMPLETIONS.get(name)
    return _parameter(name, _panelled(kind | None, panel, text, autocompletion=completes, **shown), None)


def _range(field: dataclasses.Field[Any]) -> str:
    """The bounds of a setting as a sentence; empty where there are none."""
    words = allowed(field)
    return f"{words[0].upper()}{words[1:]}. " if words else ""


_COMPLETIONS = {  # settings with open choices
    "augmentation": completes_list(AUGMENTATIONS.names),
    "device": device_names,
    "model": model_folders,
    "pooling": POOLERS.names,
    "recipe": completes_list(lambda: recipes(), "+"),
    "report_to": lambda: ["none", "tensorboard", "wandb"],
}


def _kind(field: dataclasses.Field[Any]) -> Any:
    """The type for the command line parser: of the setting, of its choices; text for lists."""
    if field.name in LISTS:
        return str
    choices = field.metadata.get("choices")
    if choices:
        return Literal[(*choices, *field.metadata["aliases"])]
    kinds = {"bool": bool, "int": int, "float": float, "str": str}
    return kinds[str(field.type).partition(" ")[0]]  # text, because of `from __future__ import annotations`


def _list(name: str, text: str | None) -> Any:
    """``a,b`` as a tuple; numbers for widths."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return tuple(_numbers("--matryoshka-dims", text)) if name == "matryoshka_dims" else tuple(parts)


def _numbers(option: str, text: str) -> list[int]:
    from simcse_kit.errors import TrainingError

    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise TrainingError(f"{option} takes whole numbers separated by commas, such as 1,2,3; got {text!r}") from None


_SCORES = {
    "eval-data": "Spearman x 100 on the evaluation data",
    "dropout-twins": "how well two dropout views of held-out sentences find each other; this does not measure search",
}


def _tell(result: TrainResult) -> None:
    from simcse_kit.cli.console import escaped, out

    console = out()
    if result.start_was_better:
        console.print(
            f"[yellow]the start model is saved: no checkpoint scored above its {result.start_score:.2f}[/]: "
            f"{_SCORES[result.select]}"
        )
    elif result.best_score is not None:
        console.print(f"best: step {result.best_step}, score {result.best_score:.2f}: {_SCORES[result.select]}")
    console.print(
        f"model saved in {escaped(result.output_dir)} after {counted(result.steps, 'step')}, {result.seconds:.0f} s"
    )
    _show_next(result.output_dir, result.output_dir)


def _show_next(run: Path, model: Path) -> None:
    from simcse_kit.cli.console import escaped, out, show_next
    from simcse_kit.workflows.steps import after_training

    step = after_training(run, model)
    show_next(step.command)
    if step.note:
        out().print(escaped(step.note), style="dim")


def _tell_seeds(found: SeedsResult, output_dir: Path) -> None:
    from simcse_kit.cli.console import escaped, out, table

    console = out()
    rows = [
        [str(seed), score_of(run.best_score), "" if run.best_step is None else str(run.best_step), f"{run.seconds:.0f}"]
        for seed, run in found.runs.items()
    ]
    console.print(table(["seed", "score", "best step", "seconds"], rows, left=0))
    best = next(iter(found.runs)) if found.best_seed is None else found.best_seed
    if found.best_seed is None:
        console.print("no scores: add --eval-data to get them", style="dim")
        _show_next(output_dir / f"seed-{best}", output_dir)
        return
    select = found.runs[found.best_seed].select
    console.print(f"score: {_SCORES[select]}", style="dim")
    kept = [str(seed) for seed, run in found.runs.items() if run.start_was_better]
    if kept:
        console.print(f"[yellow]saved the start model, because no checkpoint scored higher: seed {', '.join(kept)}[/]")
    spread = "" if found.spread != found.spread else f", spread {found.spread:.2f}"
    console.print(f"mean {found.mean:.2f}{spread}, best {escaped(output_dir)}/seed-{found.best_seed}")
    _show_next(output_dir / f"seed-{best}", output_dir)


def train_again(
    context: typer.Context,
    repeat: Annotated[
        Path | None,
        typer.Option(help="run.json of a run to train again. Default: none, name unsup or sup.", metavar="RUN.JSON"),
    ] = None,
    output_dir: Annotated[
        Path | None, typer.Option(help="With --repeat: folder of the new run. Default: none, it is needed.")
    ] = None,
    device: Device = None,
    resume: Annotated[bool, typer.Option("--resume", help=_RESUME)] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help=_OVERWRITE)] = False,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Train a model on sentences, pairs, triplets or scored pairs; or repeat a run from its run.json.

    Example: simcse-kit train sup pairs.csv --model all-MiniLM-L6-v2 --output-dir my-model
    Example: simcse-kit train --repeat my-model/run.json --output-dir my-model-again

    Several GPUs, or several machines (run the command on each; all must see the same folder):

    \b
      torchrun --nproc-per-node 4 -m simcse_kit train unsup FILE --output-dir DIR
    \b
      torchrun --nnodes 2 --nproc-per-node 4 --rdzv-backend c10d \\
        --rdzv-endpoint HOST:29500 -m simcse_kit train unsup FILE --output-dir DIR
    """
    if context.invoked_subcommand is not None:
        if repeat is not None:
            raise typer.BadParameter(f"use either --repeat or {context.invoked_subcommand}")
        return
    if repeat is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)
    if output_dir is None:
        raise typer.BadParameter("--repeat needs --output-dir, the folder of the new run")
    from simcse_kit.cli.progress import TerminalListener
    from simcse_kit.launch import world
    from simcse_kit.training.repeat import repeat_run

    listener = TerminalListener()
    try:
        result = repeat_run(
            repeat,
            output_dir,
            device=device,
            resume=resume,
            overwrite=overwrite,
            listener=listener,
            trust_remote_code=trust_remote_code,
        )
    finally:
        listener.close()
    if world().rank == 0:
        _tell(result)
    _end()


def _end() -> None:
    from simcse_kit.distributed import end_process_group  # torch is already imported

    end_process_group()
