"""Options that several commands share, described in one place."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import typer

from simcse_kit.cli.completion import model_folders
from simcse_kit.encoder.backends.part import BACKENDS
from simcse_kit.encoder.poolers import POOLERS

FILES = ".txt (one in each line), .csv, .tsv, .jsonl or .parquet, each also .gz; or hf:NAME[:split]."
FILE_HELP = "Texts: " + FILES
POOLING_HELP = (
    f"How token vectors become the vector of a sentence: {', '.join(pooler.name for pooler in POOLERS)}; or "
    "MODULE:NAME (see simcse-kit train sup --help)."
)
COLUMNS_HELP = "Columns to read, with commas, such as text or sent0,sent1,hard_neg. Default: columns with such names."
HEADER_HELP = "Whether the first row holds the names of columns. Default: decided from that row."
SKIP_HELP = "Skip rows that cannot be read, and count them. Default: such a row is an error."
INDEX_TRUST_HELP = "Run Python code that the index or its model names. Only for an index that you trust."
TRUST_HELP = "Run Python code that comes with the model. Only for a model that you trust."


def dtype_names() -> list[str]:
    """Types that some backend takes, and auto."""
    return ["auto", *dict.fromkeys(dtype for part in BACKENDS for dtype in part.dtypes)]


def device_names() -> list[str]:
    """Device types; one of several devices is named with its number, such as cuda:1."""
    return ["cpu", "cuda", "mps"]


def completes_list(names: Callable[[], Iterable[str]], separator: str = ",") -> Callable[[str], list[str]]:
    """Completion for an option that takes a list: completes the last name."""

    def complete(incomplete: str) -> list[str]:
        before = incomplete[: incomplete.rfind(separator) + 1]
        return [before + name for name in names()]

    return complete


ModelArgument = Annotated[
    str,
    typer.Argument(help="Model: a folder or a hub name.", metavar="MODEL", autocompletion=model_folders),
]
Pooling = Annotated[
    str | None,
    typer.Option(help=POOLING_HELP + " Default: what the model's folder says.", autocompletion=POOLERS.names),
]
Device = Annotated[
    str | None,
    typer.Option(
        help="Device to run on: cpu, cuda or mps; cuda:1 is the second GPU. Default: an accelerator if there is one.",
        autocompletion=device_names,
    ),
]
BackendOption = Annotated[
    str,
    typer.Option(
        help="What runs the model. " + " ".join(f"{part.name}: {part.help}" for part in BACKENDS),
        autocompletion=BACKENDS.names,
    ),
]
Dtype = Annotated[
    str,
    typer.Option(
        help="Number type of the computation: float32 is exact, the others are faster; auto asks the processor. "
        + " ".join(f"{part.name}: {', '.join(part.dtypes)}." for part in BACKENDS),
        autocompletion=dtype_names,
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(help="Sentences in one forward pass; fewer need less memory. Default: chosen for speed.", min=1),
]
Columns = Annotated[str | None, typer.Option(help=COLUMNS_HELP)]
Header = Annotated[bool | None, typer.Option("--header/--no-header", help=HEADER_HELP)]
SkipBadRows = Annotated[bool, typer.Option("--skip-bad-rows", help=SKIP_HELP)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output file if it exists.")]
TrustRemoteCode = Annotated[bool, typer.Option("--trust-remote-code", help=TRUST_HELP)]
TrustIndex = Annotated[bool, typer.Option("--trust-remote-code", help=INDEX_TRUST_HELP)]


def check_order(model: str, order: str) -> None:
    """Raise an error for a file where a command takes a model; ``order``: of its arguments."""
    from simcse_kit.errors import SimCSEKitError

    if Path(model).is_file():
        raise SimCSEKitError(f"{model} is a file, not a model; the order is: simcse-kit {order}")


def check_output_file(option: str, path: Path) -> None:
    """Raise an error before the work starts if a file cannot be written."""
    from simcse_kit.errors import SimCSEKitError

    folder = path.absolute().parent
    if not folder.is_dir():
        raise SimCSEKitError(f"{option}: the folder {folder} does not exist")
    if path.is_dir():
        raise SimCSEKitError(f"{option}: {path} is a folder; name a file")
    if not os.access(folder, os.W_OK):
        raise SimCSEKitError(f"{option}: no permission to write to the folder {folder}")


def columns_of(text: str | None) -> list[str] | None:
    """``a,b,c`` as a list."""
    return None if text is None else [name.strip() for name in text.split(",")]
