"""``simcse-kit encode``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from simcse_kit.cli.options import (
    BackendOption,
    BatchSize,
    Columns,
    Device,
    Dtype,
    Header,
    ModelArgument,
    Pooling,
    SkipBadRows,
    TrustRemoteCode,
    columns_of,
)
from simcse_kit.encoding.bulk.precisions import FilePrecision


def encode_corpus(
    model: ModelArgument,
    source: Annotated[
        str,
        typer.Argument(
            help="Sentences: .txt (one a line), .csv, .tsv, .jsonl or .parquet, each also .gz, or a folder of them.",
            metavar="INPUT",
        ),
    ],
    output: Annotated[
        Path,
        typer.Argument(
            help=".npy (N x D, for np.load with mmap_mode), .safetensors (vectors) or .parquet (id, text, vector).",
            metavar="OUTPUT",
        ),
    ],
    precision: Annotated[
        FilePrecision,
        typer.Option(
            help="How vectors are stored; int8 by the model's int8_ranges, else each to its own; binary: signs."
        ),
    ] = "float32",
    normalize: Annotated[bool, typer.Option("--normalize", help="Scale each vector to length 1.")] = False,
    texts: Annotated[bool, typer.Option("--texts", help="Write the texts too (.parquet).")] = False,
    columns: Columns = None,
    id_column: Annotated[
        str | None, typer.Option(help="Column of ids to write (.parquet). Default: the row's number.", metavar="NAME")
    ] = None,
    header: Header = None,
    prompt_name: Annotated[
        str | None, typer.Option(help="Which of the model's prompts to put before each text.")
    ] = None,
    shard_size: Annotated[
        int, typer.Option(help="Rows read, encoded and saved at once: more need more memory.", min=1)
    ] = 1 << 15,
    skip_bad_rows: SkipBadRows = False,
    pooling: Pooling = None,
    batch_size: BatchSize = None,
    device: Device = None,
    backend: BackendOption = "torch",
    dtype: Dtype = "float32",
    trust_remote_code: TrustRemoteCode = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUTPUT.")] = False,
    runner: Annotated[
        Literal["local", "ray"],
        typer.Option(help="ray: .parquet files to a folder of them, by Ray Data (needs the extra ray)."),
    ] = "local",
    address: Annotated[
        str | None, typer.Option(help="Ray cluster, auto for this machine's. Default: Ray on this machine alone.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Models at once (ray). Default: one an accelerator, else one a core.", min=1)
    ] = None,
) -> None:
    """Encode a corpus of any size into one file of vectors, a row for each row of INPUT, blank ones too.

    Stopped at any moment, the same command goes on where it was.

    Example: simcse-kit encode all-MiniLM-L6-v2 tickets.txt tickets.npy --backend openvino --dtype bfloat16
    """
    from simcse_kit.cli.console import escaped, out, table
    from simcse_kit.encoding.bulk.encode import check_files, encode_files
    from simcse_kit.errors import SimCSEKitError
    from simcse_kit.model import SimCSE

    load: dict[str, Any] = {
        "pooling": pooling,
        "device": device,
        "backend": backend,
        "dtype": dtype,
        "trust_remote_code": trust_remote_code,
    }
    settings: dict[str, Any] = {
        "precision": precision,
        "normalize_embeddings": normalize,
        "texts": texts,
        "columns": columns_of(columns),
        "id_column": id_column,
        "prompt_name": prompt_name,
        "batch_size": batch_size,
        "overwrite": overwrite,
        "show_progress_bar": True,
    }
    if runner == "ray":
        from simcse_kit.encoding.ray import encode_with_ray

        if header is not None or skip_bad_rows:
            raise SimCSEKitError("--header and --skip-bad-rows need --runner local")
        counts = encode_with_ray(
            model, source, output, address=address, workers=workers, load=load, task_rows=shard_size, **settings
        )
    else:
        if address is not None or workers is not None:
            raise SimCSEKitError("--address and --workers need --runner ray")
        check_files(source, output)
        counts = encode_files(
            SimCSE(model, **load),
            source,
            output,
            header=header,
            shard_size=shard_size,
            skip_bad_rows=skip_bad_rows,
            **settings,
        )
    rows = [[name.replace("_", " "), f"{count:,}"] for name, count in counts._asdict().items() if count]
    out().print(table([escaped(output), "count"], rows))
