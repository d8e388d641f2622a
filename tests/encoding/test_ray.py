"""A corpus encoded by a real Ray with two workers: the rows of a single process, even if workers are lost."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from simcse_kit import DataError, ModelError, SimCSE, encode_files, encode_with_ray
from simcse_kit.encoding.ray import _LOCAL, _connected, _tasks
from support.tiny import SENTENCES

if importlib.util.find_spec("ray") is None:
    pytest.skip("needs ray", allow_module_level=True)

TEXTS = [f"{SENTENCES[i % 40]} {SENTENCES[(i * 7) % 40]}" if i % 11 else "" for i in range(180)]


@pytest.fixture(scope="module")
def folder(tiny_model: Callable[[str], Path]) -> Path:
    return tiny_model("bert")


def start_ray() -> None:
    import ray

    ray.init(**_LOCAL, num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")


@pytest.fixture(scope="module")
def encode() -> Iterator[Callable[..., Any]]:
    """`encode_with_ray`, in a process of its own.

    One Ray for all tests here: starting it takes seconds. Its threads outlive its shutdown, and a process that holds
    them cannot be forked safely; other tests fork theirs.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=start_ray) as pool:
        yield lambda *args, **options: pool.submit(encode_with_ray, *args, **options).result()


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Three files of several row groups each, one of them empty."""
    target = tmp_path / "corpus"
    target.mkdir()
    for name, texts, first in (("a", TEXTS[:100], 0), ("b", [], 0), ("c", TEXTS[100:], 100)):
        table = pa.table({"key": [f"k{first + i}" for i in range(len(texts))], "text": pa.array(texts, pa.string())})
        pq.write_table(table, target / f"{name}.parquet", row_group_size=8)
    return target


def rows(path: Path) -> dict[str, Any]:
    table = pq.read_table(path)
    vectors = table["vector"].combine_chunks()
    found = {name: table[name].to_pylist() for name in table.column_names if name != "vector"}
    flat = pa.concat_arrays(vectors.chunks) if isinstance(vectors, pa.ChunkedArray) else vectors
    return found | {"vector": np.asarray(flat.flatten()).reshape(len(table), -1)}


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name in found.keys() - {"vector"}:
        assert found[name] == expected[name]
    dtype = expected["vector"].dtype
    steps = 1.0 if dtype == np.int8 else max(1e-5, float(np.finfo(dtype).eps) / 2)  # of components below 1
    np.testing.assert_allclose(found["vector"].astype(float), expected["vector"].astype(float), atol=steps)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"id_column": "key", "texts": True, "precision": "float16"},
        {"precision": "int8", "ranges": np.stack([np.full(32, -2.0), np.full(32, 2.0)])},
    ],
)
def test_the_rows_are_those_of_a_single_process(
    options: dict[str, Any], encode: Callable[..., Any], folder: Path, corpus: Path, tmp_path: Path
) -> None:
    load: dict[str, Any] = {"pooling": "mean", "device": "cpu", "max_seq_length": 16}
    expected = encode_files(SimCSE(folder, **load), corpus, tmp_path / "one.parquet", **options)
    assert expected.truncated > 20
    counts = encode(folder, corpus, tmp_path / "many", workers=2, load=load, task_rows=20, **options)
    assert counts == expected
    parts = sorted(path.name for path in (tmp_path / "many").glob("part-*"))
    assert len(parts) == 9
    assert_same(rows(tmp_path / "many"), rows(tmp_path / "one.parquet"))


def niceness() -> int:
    """That of a worker of a Ray that we start."""
    import ray

    with _connected(None):
        return int(ray.get(ray.remote(lambda: os.nice(0)).remote()))


@pytest.mark.slow
def test_workers_get_as_much_of_a_busy_machine_as_this_process() -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(niceness).result() == os.nice(0)


def workers_of(folder: Path) -> list[int]:
    """Process ids of Ray's workers that hold our model."""
    found = subprocess.run(["pgrep", "-f", "ray::.*EncodeWorker"], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


@pytest.mark.slow
def test_a_worker_that_is_killed_on_the_way_costs_nothing(
    encode: Callable[..., Any], folder: Path, corpus: Path, tmp_path: Path
) -> None:
    """Killed as soon as it has written a part, while others are missing."""
    output, killed = tmp_path / "many", []

    def kill() -> None:
        while not list(output.glob("part-*")):
            time.sleep(0.005)
        for worker in workers_of(folder)[:1]:
            os.kill(worker, signal.SIGKILL)
            killed.append(worker)

    killer = threading.Thread(target=kill)
    killer.start()
    load = {"pooling": "mean", "device": "cpu"}
    counts = encode(folder, corpus, output, workers=2, load=load, task_rows=8)
    killer.join()
    assert killed
    assert counts.rows == len(TEXTS)
    encode_files(SimCSE(folder, pooling="mean", device="cpu"), corpus, tmp_path / "one.parquet")
    assert_same(rows(output), rows(tmp_path / "one.parquet"))
    assert not list(output.glob(".part-*"))


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on(encode: Callable[..., Any], folder: Path, corpus: Path, tmp_path: Path) -> None:
    load = {"pooling": "mean", "device": "cpu"}
    output = tmp_path / "many"
    encode(folder, corpus, output, load=load, task_rows=20)
    parts = sorted(output.glob("part-*"))
    before = rows(output)
    with pytest.raises(DataError, match="already exists"):
        encode(folder, corpus, output, load=load, task_rows=20)
    record = output / "_simcse_kit.json"
    record.write_text(record.read_text().replace('"finished": true', '"finished": false'))
    for part in parts[3:]:
        part.unlink()
    kept = [part.stat().st_mtime_ns for part in parts[:3]]
    counts = encode(folder, corpus, output, load=load, task_rows=20)
    assert counts.resumed_at == sum(
        task.rows for task in list(_tasks([str(p) for p in sorted(corpus.iterdir())], 20))[:3]
    )
    assert [part.stat().st_mtime_ns for part in parts[:3]] == kept
    assert_same(rows(output), before)


@pytest.mark.slow
def test_other_settings_or_input_are_refused(
    encode: Callable[..., Any], folder: Path, corpus: Path, tmp_path: Path
) -> None:
    load = {"pooling": "mean", "device": "cpu"}
    output = tmp_path / "many"
    encode(folder, corpus, output, load=load)
    record = output / "_simcse_kit.json"
    record.write_text(record.read_text().replace('"finished": true', '"finished": false'))
    with pytest.raises(DataError, match="has other data"):
        encode(folder, corpus, output, load=load, precision="int8")
    pq.write_table(pa.table({"text": ["new"]}), corpus / "a.parquet")
    with pytest.raises(DataError, match="has other data"):
        encode(folder, corpus, output, load=load)
    counts = encode(folder, corpus, output, load=load, columns=["text"], overwrite=True)
    assert counts.rows == 1 + len(TEXTS) - 100
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "letter.txt").write_text("mine")
    with pytest.raises(DataError, match="of other programs"):
        encode(folder, corpus, tmp_path / "foreign", load=load, overwrite=True)
    assert (tmp_path / "foreign" / "letter.txt").read_text() == "mine"


@pytest.mark.slow
def test_a_mistake_does_not_stand_in_the_way_of_the_next_try(
    encode: Callable[..., Any], folder: Path, corpus: Path, tmp_path: Path
) -> None:
    load, output = {"pooling": "mean", "device": "cpu"}, tmp_path / "many"
    with pytest.raises(DataError, match="no column named 'nope'"):
        encode(folder, corpus, output, load=load, columns=["nope"])
    assert encode(folder, corpus, output, load=load, columns=["text"]).rows == len(TEXTS)


@pytest.mark.slow
def test_a_row_that_cannot_be_used_is_named(encode: Callable[..., Any], folder: Path, tmp_path: Path) -> None:
    texts = pa.array([b"fine"] * 20 + [b"\xff\xfe"], pa.binary()).cast(pa.string(), safe=False)
    pq.write_table(pa.table({"text": texts}), tmp_path / "bad.parquet", row_group_size=4)
    with pytest.raises(DataError, match=r"bad\.parquet, row 21: "):
        encode(folder, tmp_path / "bad.parquet", tmp_path / "out", load={"pooling": "mean"}, task_rows=4)


def test_what_cannot_be_done_is_refused_before_ray_starts(folder: Path, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("a line\n")
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "none.parquet")
    out, load = tmp_path / "out", {"pooling": "mean", "device": "cpu"}
    with pytest.raises(DataError, match=r"--runner ray reads only \.parquet"):
        encode_with_ray(folder, tmp_path / "lines.txt", out, load=load)
    with pytest.raises(ModelError, match="pooling must be one of"):
        encode_with_ray(folder, corpus, out, load={"pooling": "nonsense"})
    with pytest.raises(DataError, match=r"none\.parquet: no row"):
        encode_with_ray(folder, tmp_path / "none.parquet", out, load=load)
    assert not out.exists()
    assert "ray" not in sys.modules or not sys.modules["ray"].is_initialized()


@pytest.mark.slow
def test_the_command(folder: Path, corpus: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "simcse_kit", "encode", str(folder), str(corpus), str(tmp_path / "many")]
    command += ["--pooling", "mean", "--runner", "ray", "--workers", "2", "--shard-size", "40"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "180" in done.stdout
    assert len(rows(tmp_path / "many")["vector"]) == len(TEXTS)
