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
    check_order,
    columns_of,
)
from simcse_kit.encoding.bulk.precisions import FilePrecision


def encode_corpus(
    model: ModelArgument,
    source: Annotated[
        str,
        typer.Argument(
            help="Texts: .txt (one in each line), .csv, .tsv, .jsonl or .parquet, each also .gz, or a folder of them.",
            metavar="INPUT",
        ),
    ],
    output: Annotated[
        Path,
        typer.Argument(
            help="File to write: .npy (N x D, for np.load with mmap_mode), .safetensors (vectors) or .parquet (id, "
            "text, vector).",
            metavar="OUTPUT",
        ),
    ],
    precision: Annotated[
        FilePrecision,
        typer.Option(
            help="Number type of the stored vectors; the shorter ones need less disk. int8 scales by the model's "
            "int8_ranges, otherwise each vector by itself; binary stores signs."
        ),
    ] = "float32",
    normalize: Annotated[
        bool, typer.Option("--normalize", help="Scale each vector to length 1; a dot product is the cosine then.")
    ] = False,
    texts: Annotated[bool, typer.Option("--texts", help="Also write the texts (.parquet only).")] = False,
    columns: Columns = None,
    id_column: Annotated[
        str | None,
        typer.Option(help="Column of ids to write (.parquet only). Default: the row's number.", metavar="NAME"),
    ] = None,
    header: Header = None,
    prompt_name: Annotated[
        str | None,
        typer.Option(help="Name of the prompt to put before each text. Default: the model's default prompt."),
    ] = None,
    shard_size: Annotated[
        int, typer.Option(help="Rows that are read, encoded and saved at once; fewer need less memory.", min=1)
    ] = 1 << 15,
    skip_bad_rows: SkipBadRows = False,
    pooling: Pooling = None,
    batch_size: BatchSize = None,
    device: Device = None,
    backend: BackendOption = "torch",
    dtype: Dtype = "float32",
    trust_remote_code: TrustRemoteCode = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUTPUT if it exists.")] = False,
    runner: Annotated[
        Literal["local", "ray"],
        typer.Option(
            help="What encodes: local is this process; ray is Ray Data, from .parquet files to a folder of them (needs "
            "the extra ray)."
        ),
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(help="Address of a Ray cluster; auto finds a running one. Default: a new Ray on this machine."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Number of models at once (ray). Default: one on each accelerator, otherwise one on each core.", min=1
        ),
    ] = None,
) -> None:
    """Encode a corpus of any size into one file of vectors, with a row for each row of INPUT, also for blank ones.

    You can stop at any time; the same command continues.

    Example: simcse-kit encode my-model tickets.txt tickets.npy --normalize
    Example: simcse-kit encode all-MiniLM-L6-v2 corpus/ corpus.parquet --texts --backend openvino --dtype bfloat16
    """
    from simcse_kit.cli.console import err, escaped, out, table
    from simcse_kit.encoding.bulk.encode import check_files, encode_files
    from simcse_kit.errors import SimCSEKitError, TrainingInterrupted
    from simcse_kit.model import SimCSE

    check_order(model, "encode MODEL INPUT OUTPUT")
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
    try:
        if runner == "ray":
            from simcse_kit.encoding.ray import encode_with_ray

            if header is not None or skip_bad_rows:
                raise SimCSEKitError("--header and --skip-bad-rows need --runner local")
            err().print("starting Ray; each worker loads the model before its first texts")
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
    except KeyboardInterrupt:
        raise TrainingInterrupted(f"stopped; the same command continues {output}") from None
    rows = [[name.replace("_", " "), f"{count:,}"] for name, count in counts._asdict().items() if count]
    out().print(table([escaped(output), "count"], rows))
