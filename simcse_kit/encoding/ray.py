"""`encode_with_ray`: encodes a corpus in Parquet files with Ray Data, on all machines of a cluster.

Each task reads some row groups, encodes them and writes one file of vectors. If a worker is lost, its task runs again
elsewhere; a run that was stopped continues with the tasks whose files are missing.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from simcse_kit.bars import tqdm
from simcse_kit.data.files import files_of
from simcse_kit.data.source import Source
from simcse_kit.encoder.call import listening, say_cut
from simcse_kit.encoding.bulk.encode import EncodeCounts
from simcse_kit.encoding.bulk.formats import hash_of_ranges, stored, width, write_parquet
from simcse_kit.encoding.bulk.precisions import FILE_PRECISIONS, FilePrecision
from simcse_kit.errors import DataError, ModelError, SimCSEKitError, require_extra
from simcse_kit.files import as_written, read_json, sync, write_json
from simcse_kit.model import SimCSE

if TYPE_CHECKING:
    from simcse_kit.losses.similarity import ArrayLike

_RECORD = "_simcse_kit.json"  # readers of Parquet folders ignore names that start with an underscore
_TASK_ROWS = 1 << 15
_LOCAL = {"address": "local", "_system_config": {"worker_niceness": 0}}  # Ray's 15 waits for every other process


class Task(NamedTuple):
    """Some row groups of a file."""

    file: str
    first_group: int
    end_group: int
    first: int  # number of their first row in the corpus
    rows: int

    @property
    def part(self) -> str:
        """Name of the file of vectors; names sort in the order of the input."""
        return f"part-{self.first:012d}.parquet"


def encode_with_ray(
    model: str | Path,
    source: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    address: str | None = None,
    workers: int | None = None,
    load: dict[str, Any] | None = None,
    precision: FilePrecision = "float32",
    ranges: ArrayLike | None = None,
    normalize_embeddings: bool = False,
    texts: bool = False,
    columns: Sequence[str] | None = None,
    id_column: str | None = None,
    prompt_name: str | None = None,
    batch_size: int | None = None,
    task_rows: int = _TASK_ROWS,
    overwrite: bool = False,
    show_progress_bar: bool = False,
) -> EncodeCounts:
    """Encode Parquet files into a folder of Parquet files, whose rows are in the order of the input.

    Rows are those of `encode_files` for a ``.parquet``: id, text (if requested), vector. The workers read the input and
    the model and write the output: with several machines, all must see these paths.

    Args:
        model: folder or hub name; each worker loads one.
        source: ``.parquet`` files, or folders of such files.
        output: a folder; if stopped at any time, the same call continues with the missing parts.
        address: address of a Ray cluster, or ``auto`` for the cluster of this machine; None starts Ray here.
        workers: number of models that encode in parallel; None: one per accelerator, else one per core.
        load: further arguments of `SimCSE`.
        precision: like ``ranges``, ``normalize_embeddings``, ``texts``, ``columns``, ``id_column``, ``prompt_name`` and
            ``batch_size`` as in `encode_files`.
        task_rows: approximate number of rows per task; a task is whole row groups.
        overwrite: replace what is in ``output``.
        show_progress_bar: show one.

    Raises:
        DataError: a file, row or argument cannot be used, the output belongs to another run, or a worker loads another
            model than this process.
        MissingExtraError: Ray is not installed.
    """
    require_extra("ray", ["ray"], "the runner ray")
    if precision not in FILE_PRECISIONS:
        raise DataError(f"precision must be one of {', '.join(FILE_PRECISIONS)}; got {precision!r}")
    tally: Counter[str] = Counter()
    files = files_of([source] if isinstance(source, str | Path) else list(source), tally)
    own = SimCSE(model, **(load or {}))
    ranges = own.ranges_for(precision, ranges, own.get_embedding_dimension())
    run = {
        "model": own.fingerprint(),
        "backend": f"{own.backend.name} {own.backend.dtype}",
        "prompt_name": prompt_name,
        "normalize_embeddings": normalize_embeddings,
        "precision": precision,
        "int8_ranges": hash_of_ranges(ranges),
        "texts": texts,
        "columns": None if columns is None else list(columns),
        "id_column": id_column,
        "task_rows": task_rows,
        "input": [[file, Path(file).stat().st_size, Path(file).stat().st_mtime_ns] for file in files],
    }
    tasks = list(_tasks(files, task_rows))
    if not tasks:
        raise DataError(f"{', '.join(files)}: no rows")
    target = Path(output)
    _open_output(target, run, overwrite=overwrite)
    left = [task for task in tasks if not (target / task.part).exists()]
    settings = {
        "model": str(model),
        "load": load or {},
        "fingerprint": own.fingerprint(),
        "output": str(target.absolute()),
        "precision": precision,
        "texts": texts,
        "columns": columns,
        "id_column": id_column,
        "encode": {
            "prompt_name": prompt_name,
            "batch_size": batch_size,
            "normalize_embeddings": normalize_embeddings,
            "ranges": ranges,
        },
    }
    limit = own.max_seq_length
    del own  # workers install their own
    rows = sum(task.rows for task in tasks)
    done = rows - sum(task.rows for task in left)
    _run(left, settings, address=address, workers=workers, done=done, rows=rows, bar=show_progress_bar)
    blank, truncated = _check_whole(target, tasks)
    say_cut(truncated, rows, str(model), limit)
    write_json(target / _RECORD, {"run": run, "finished": True})
    return EncodeCounts(
        files=len(files),
        ignored_files=tally["ignored_files"],
        empty_files=tally["empty_files"],
        rows=rows,
        blank=blank,
        skipped=0,
        resumed_at=done,
        truncated=truncated,
    )


def _tasks(files: Sequence[str], size: int) -> Iterator[Task]:
    """Whole row groups of about ``size`` rows together."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    for file in files:
        if not file.endswith(".parquet"):
            raise DataError(f"{file}: --runner ray reads only .parquet; --runner local reads this file")
        try:
            metadata = pq.ParquetFile(Path(file).expanduser()).metadata
        except pa.ArrowException as error:
            raise DataError(f"cannot read {file} as Parquet: {str(error).splitlines()[0]}") from error
        start = rows = 0
        for group in range(metadata.num_row_groups):
            rows += metadata.row_group(group).num_rows
            if rows >= size or group + 1 == metadata.num_row_groups:
                if rows:
                    yield Task(str(Path(file).expanduser().absolute()), start, group + 1, number, rows)
                number, start, rows = number + rows, group + 1, 0


def _open_output(target: Path, run: dict[str, Any], *, overwrite: bool) -> None:
    """Create the folder, or continue in one left by an interrupted run of the same kind."""
    record = target / _RECORD
    if target.exists() and not target.is_dir():
        raise DataError(f"{target} is a file; --runner ray writes a folder")
    if target.is_dir() and any(target.iterdir()):
        if not record.is_file():
            raise DataError(f"{target} holds files of other programs; name another folder")
        with as_written(record, DataError):
            found = read_json(record, DataError)
            before, finished = dict(found["run"]), bool(found["finished"])
        if before == run and not finished:
            return
        if not overwrite and any(target.glob("part-*")):
            what = "already exists" if finished else "has other data, another model or other settings"
            raise DataError(f"{target} {what}; name another folder, or use --overwrite (overwrite=True)")
        shutil.rmtree(target)
    target.mkdir(parents=True, exist_ok=True)
    write_json(record, {"run": run, "finished": False})


def _run(
    tasks: list[Task],
    settings: dict[str, Any],
    *,
    address: str | None,
    workers: int | None,
    done: int,
    rows: int,
    bar: bool,
) -> None:
    """Run the tasks."""
    import ray

    with _connected(address), tqdm(total=rows, initial=done, desc="Encoding", unit="row", disable=not bar) as progress:
        if not tasks:
            return
        accelerators = int(ray.cluster_resources().get("GPU", 0))
        workers = workers or accelerators or int(ray.cluster_resources()["CPU"])
        workers = min(workers, len(tasks))
        results = ray.data.from_items(
            [task._asdict() for task in tasks], override_num_blocks=min(len(tasks), 64 * workers)
        ).map_batches(
            EncodeWorker,
            fn_constructor_kwargs={"settings": settings},
            batch_size=1,
            num_cpus=1,
            num_gpus=1 if accelerators else None,
            compute=ray.data.ActorPoolStrategy(size=workers),
        )
        for result in results.iter_rows():
            if result["error"]:
                raise DataError(result["error"])
            progress.update(result["rows"])


def _check_whole(target: Path, tasks: list[Task]) -> tuple[int, int]:
    """Counts of blank and of cut rows, from the files' own records; removes leftovers of lost workers."""
    import pyarrow.parquet as pq

    blank = truncated = 0
    for task in tasks:
        metadata = pq.ParquetFile(target / task.part).metadata
        if metadata.num_rows != task.rows:
            raise DataError(f"{target / task.part} holds {metadata.num_rows} rows instead of {task.rows}; delete it")
        blank += int(metadata.metadata[b"blank"])
        truncated += int(metadata.metadata.get(b"truncated", 0))  # files of older versions have no record
    for path in target.glob(".part-*"):
        path.unlink()
    return blank, truncated


@contextmanager
def _connected(address: str | None) -> Iterator[None]:
    """Use Ray, started here if it is not running."""
    import ray

    begun = not ray.is_initialized()
    if begun:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # send no usage statistics unless requested
        where = {"address": address} if address else _LOCAL
        ray.init(**where, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    context, logger = ray.data.DataContext.get_current(), logging.getLogger("ray.data")
    bars, level = context.enable_progress_bars, logger.level
    context.enable_progress_bars = False
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        context.enable_progress_bars = bars
        logger.setLevel(level)
        if begun:
            ray.shutdown()


class EncodeWorker:
    """A worker of Ray Data: a model, and its tasks."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.model = SimCSE(settings["model"], **settings["load"])

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Encode tasks, given as arrays of their fields; returns the number of rows of each, or its error.

        Errors are returned, not raised: Ray would wrap them, and treat them as a fault of the machine.
        """
        tasks = [Task(*values) for values in zip(*(batch[name].tolist() for name in Task._fields), strict=True)]
        return {"rows": [task.rows for task in tasks], "error": [self._error_of(task) for task in tasks]}

    def _error_of(self, task: Task) -> str:
        try:
            if self.model.fingerprint() != self.settings["fingerprint"]:
                raise ModelError(
                    f"{self.model.name} on a worker differs from the model on the machine that started the run"
                )
            self._encode(task)
        except SimCSEKitError as error:
            return str(error)
        return ""

    def _encode(self, task: Task) -> None:
        settings = self.settings
        source = Source(
            [task.file],
            settings["columns"],
            settings["id_column"],
            first=task.first,
            row_groups=range(task.first_group, task.end_group),
        )
        (shard,) = source.shards(task.rows)
        with listening() as heard:
            vectors = stored(self.model.encode, shard.texts, settings["precision"], **settings["encode"])
        target = Path(settings["output"]) / task.part
        part = target.with_name(f".{target.name}.{os.getpid()}")  # a lost worker may still be writing its own
        write_parquet(
            part,
            iter([shard]),
            iter([vectors.tobytes()]),
            columns=width(settings["precision"], self.model.get_embedding_dimension()),
            precision=settings["precision"],
            texts=settings["texts"],
            about={
                "model": self.model.name,
                "fingerprint": settings["fingerprint"],
                "precision": settings["precision"],
                "blank": str(shard.texts.count("")),
                "truncated": str(heard.truncated),
            },
        )
        sync(part)
        os.replace(part, target)
        sync(target.parent)
