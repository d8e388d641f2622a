"""A corpus to a file of vectors: equal to `encode`, in every format, and after any interruption."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
from typer.testing import CliRunner

from simcse_kit import DataError, Notice, SimCSE, encode_files
from simcse_kit.cli import app
from simcse_kit.encoding.bulk.precisions import FILE_PRECISIONS
from simcse_kit.files import DiskFullError
from support.tiny import SENTENCES

TEXTS = [*SENTENCES[:9], "", *SENTENCES[3:12], "  ", SENTENCES[0]]


@pytest.fixture(scope="module")
def expected(model: SimCSE) -> np.ndarray:
    return np.asarray(model.encode([text.strip() for text in TEXTS]))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.txt"
    path.write_text("".join(f"{text}\n" for text in TEXTS), encoding="utf-8")
    return path


def read(path: Path) -> np.ndarray:
    if path.suffix == ".npy":
        return np.asarray(np.load(path, mmap_mode="r"))
    if path.suffix == ".safetensors":
        return np.asarray(safetensors.numpy.load_file(path)["vectors"])
    column = pq.read_table(path)["vector"].combine_chunks()
    return np.asarray(column.flatten()).reshape(len(column), -1)


def left_behind(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("suffix", [".npy", ".safetensors", ".parquet"])
@pytest.mark.parametrize("shard_size", [1, 5, 1000])
def test_every_row_in_its_place(
    suffix: str, shard_size: int, model: SimCSE, expected: np.ndarray, corpus: Path, tmp_path: Path
) -> None:
    output = tmp_path / f"vectors{suffix}"
    counts = encode_files(model, corpus, output, shard_size=shard_size)
    found = read(output)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert (counts.files, counts.rows, counts.blank, counts.resumed_at) == (1, len(TEXTS), 2, 0)
    assert not left_behind(tmp_path)


@pytest.mark.parametrize("precision", FILE_PRECISIONS)
def test_precisions(precision: str, model: SimCSE, expected: np.ndarray, corpus: Path, tmp_path: Path) -> None:
    for suffix in (".npy", ".safetensors", ".parquet"):
        encode_files(model, corpus, tmp_path / f"v{suffix}", precision=precision, normalize_embeddings=True)
    found = read(tmp_path / "v.npy")
    unit = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    if precision == "binary":
        assert found.shape == (len(TEXTS), model.get_embedding_dimension() // 8)
        np.testing.assert_array_equal(found, model.encode([t.strip() for t in TEXTS], precision="binary"))
    else:
        assert found.dtype == precision
        real = found.astype(np.float64)
        cosines = (real / np.linalg.norm(real, axis=1, keepdims=True) * unit).sum(1)
        assert cosines.min() > {"float32": 1 - 1e-6, "float16": 1 - 1e-5, "int8": 0.9995}[precision]
    np.testing.assert_array_equal(read(tmp_path / "v.safetensors"), found)
    np.testing.assert_array_equal(read(tmp_path / "v.parquet"), found)


def test_int8_is_that_of_encode_by_the_ranges_given_or_the_models(
    model_folder: Path, model: SimCSE, expected: np.ndarray, corpus: Path, tmp_path: Path
) -> None:
    texts = [text.strip() for text in TEXTS]
    ranges = np.stack([expected[:9].min(0), expected[:9].max(0)])
    keeps = SimCSE(model_folder, pooling="mean", device="cpu")
    keeps.int8_ranges = ranges
    whole = keeps.encode(texts, precision="int8").astype(int)
    assert not np.array_equal(whole, model.encode(texts, precision="int8"))
    for name, one, given in (("own", model, None), ("given", model, ranges), ("kept", keeps, None)):
        encode_files(one, corpus, tmp_path / f"{name}.npy", precision="int8", ranges=given, shard_size=4)
        found = read(tmp_path / f"{name}.npy").astype(int)
        np.testing.assert_allclose(found, one.encode(texts, precision="int8", ranges=given).astype(int), atol=1)
        assert (np.abs(found - whole).max() <= 1) == (name != "own")
    with pytest.raises(ValueError, match="ranges have 3 dimensions; the vectors have 32"):
        encode_files(model, corpus, tmp_path / "wrong.npy", precision="int8", ranges=np.zeros((2, 3)))
    assert not (tmp_path / "wrong.npy").exists()
    assert not left_behind(tmp_path)


def test_a_run_with_other_ranges_is_not_gone_on_with(
    model: SimCSE, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, calls = SimCSE.encode, []

    def failing(self: SimCSE, *given: Any, **more: Any) -> Any:
        calls.append(1)
        if len(calls) > 2:
            raise KeyboardInterrupt
        return encode(self, *given, **more)

    options: dict[str, Any] = {"precision": "int8", "shard_size": 4}
    ranges = np.stack([np.full(32, -2.0), np.full(32, 2.0)])
    with monkeypatch.context() as patch:
        patch.setattr(SimCSE, "encode", failing)
        with pytest.raises(KeyboardInterrupt):
            encode_files(model, corpus, tmp_path / "v.npy", ranges=ranges, **options)
    with pytest.raises(DataError, match="another int8 ranges"):
        encode_files(model, corpus, tmp_path / "v.npy", ranges=ranges / 2, **options)
    assert encode_files(model, corpus, tmp_path / "v.npy", ranges=ranges, **options).resumed_at == 8


def test_parquet_holds_ids_and_texts(model: SimCSE, expected: np.ndarray, tmp_path: Path) -> None:
    rows = [{"text": text, "key": f"k{i}", "other": i} for i, text in enumerate(TEXTS)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    output = tmp_path / "out.parquet"
    encode_files(model, tmp_path / "in.jsonl", output, id_column="key", texts=True, shard_size=4)
    table = pq.read_table(output)
    assert table.column_names == ["id", "text", "vector"]
    assert table["id"].to_pylist() == [row["key"] for row in rows]
    assert table["text"].to_pylist() == [text.strip() for text in TEXTS]
    assert table.schema.field("vector").type == pa.list_(pa.float32(), model.get_embedding_dimension())
    assert table.schema.metadata[b"fingerprint"].decode() == model.fingerprint()
    np.testing.assert_allclose(read(output), expected, atol=1e-5)


def test_an_empty_parquet_shard_is_passed_over(model: SimCSE, expected: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    for name, texts in (("a", TEXTS[:4]), ("b", []), ("c", TEXTS[4:])):
        pq.write_table(pa.table({"text": pa.array(texts, pa.string())}), tmp_path / "shards" / f"{name}.parquet")
    assert encode_files(model, tmp_path / "shards", tmp_path / "v.npy").rows == len(TEXTS)
    np.testing.assert_allclose(read(tmp_path / "v.npy"), expected, atol=1e-5)


def test_a_folder_of_shards(model: SimCSE, expected: np.ndarray, tmp_path: Path) -> None:
    """Of several formats, in the order of their names; other files are counted."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.txt").write_text("".join(f"{text}\n" for text in TEXTS[:4]))
    with gzip.open(folder / "b.jsonl.gz", "wt") as file:
        file.writelines(json.dumps({"text": text}) + "\n" for text in TEXTS[4:8])
    pq.write_table(pa.table({"sentence": TEXTS[8:], "n": list(range(len(TEXTS) - 8))}), folder / "c.parquet")
    (folder / "notes.pdf").write_bytes(b"x")
    counts = encode_files(model, folder, tmp_path / "v.npy", shard_size=3)
    np.testing.assert_allclose(read(tmp_path / "v.npy"), expected, atol=1e-5)
    assert (counts.files, counts.ignored_files, counts.rows) == (3, 1, len(TEXTS))


def test_blank_lines_keep_their_place(model: SimCSE, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("\n\nIt rains.\n\n")
    assert encode_files(model, tmp_path / "in.txt", tmp_path / "v.npy").blank == 3
    expected = model.encode(["", "", "It rains.", ""])
    np.testing.assert_allclose(read(tmp_path / "v.npy"), expected, atol=1e-6)
    (tmp_path / "in.csv").write_text('text,n\n"",1\nIt rains.,2\n')
    encode_files(model, tmp_path / "in.csv", tmp_path / "w.npy")
    np.testing.assert_allclose(read(tmp_path / "w.npy"), expected[1:3], atol=1e-6)


# Interruptions


class Killed(BaseException):
    """Stands for a process that ends: nothing may catch it and tidy up."""


@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
def test_killed_at_every_write(
    suffix: str, model: SimCSE, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before and after each call that makes data durable: the next run continues to the same file."""
    whole = tmp_path / f"whole{suffix}"
    encode_files(model, corpus, whole, shard_size=4)
    real = {name: getattr(os, name) for name in ("fsync", "replace", "truncate")}
    resumed = set()
    for after in (False, True):
        for at in range(1, 200):
            output = tmp_path / f"{after}-{at}{suffix}"
            calls = 0

            def dying(name: str, *arguments: Any) -> Any:
                nonlocal calls
                calls += 1
                if calls == at and not after:  # noqa: B023
                    raise Killed
                result = real[name](*arguments)
                if calls == at and after:  # noqa: B023
                    raise Killed
                return result

            with monkeypatch.context() as patch:
                for name in real:
                    patch.setattr(os, name, lambda *given, name=name: dying(name, *given))
                try:
                    encode_files(model, corpus, output, shard_size=4)
                except Killed:
                    pass
                else:
                    break
            resumed.add(encode_files(model, corpus, output, shard_size=4).resumed_at)
            assert output.read_bytes() == whole.read_bytes()
            assert not left_behind(tmp_path)
        assert at > 20
    assert resumed == {0, 4, 8, 12, 16, 20, 21}


@pytest.mark.slow
def test_kill_9_and_go_on(tiny_model: Callable[[str], Path], model: SimCSE, tmp_path: Path) -> None:
    """A real process, killed as soon as it has done a few shards more."""
    corpus = tmp_path / "in.txt"
    corpus.write_text("".join(f"{SENTENCES[i % 20]} {i}\n" for i in range(3000)))
    encode_files(model, corpus, tmp_path / "whole.npy", shard_size=50)
    command = [sys.executable, "-m", "simcse_kit", "encode", str(tiny_model("bert")), str(corpus)]
    command += [str(tmp_path / "v.npy"), "--pooling", "mean", "--shard-size", "50", "--device", "cpu"]
    record = tmp_path / ".v.npy.encoding" / "shards.jsonl"

    def done() -> int:
        return 50 * record.read_bytes().count(b"\n") if record.is_file() else 0

    seen = 0
    for _ in range(3):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            if done() > seen + 200:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.001)
        process.wait()
        if (tmp_path / "v.npy").exists():
            break
        seen = done()
    assert seen > 200
    subprocess.run(command, check=True, capture_output=True)
    np.testing.assert_allclose(read(tmp_path / "v.npy"), read(tmp_path / "whole.npy"), atol=1e-6)
    assert not left_behind(tmp_path)


@pytest.fixture
def interrupted(model: SimCSE, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Output of a run that was stopped after two shards."""
    calls = 0
    encode = SimCSE.encode

    def failing(self: SimCSE, *given: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise KeyboardInterrupt
        return encode(self, *given, **more)

    with monkeypatch.context() as patch:
        patch.setattr(SimCSE, "encode", failing)
        with pytest.raises(KeyboardInterrupt):
            encode_files(model, corpus, tmp_path / "v.npy", shard_size=4)
    return tmp_path / "v.npy"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"precision": "int8"}, "another precision .'float32' before, 'int8' now"),
        ({"normalize_embeddings": True}, "another normalize embeddings"),
        ({"shard_size": 5}, "another shard size"),
    ],
)
def test_another_run_is_refused(
    change: dict[str, Any], text: str, interrupted: Path, model: SimCSE, corpus: Path, expected: np.ndarray
) -> None:
    with pytest.raises(DataError, match=text):
        encode_files(model, corpus, interrupted, **({"shard_size": 4} | change))
    assert encode_files(model, corpus, interrupted, shard_size=4).resumed_at == 8
    np.testing.assert_allclose(read(interrupted), expected, atol=1e-5)


def test_another_model_is_refused(
    interrupted: Path, tiny_model: Callable[[str], Path], corpus: Path, expected: np.ndarray
) -> None:
    other = SimCSE(tiny_model("bert"), pooling="max", device="cpu")
    with pytest.raises(DataError, match="another model"):
        encode_files(other, corpus, interrupted, shard_size=4)
    assert encode_files(other, corpus, interrupted, shard_size=4, overwrite=True).resumed_at == 0
    assert np.abs(read(interrupted) - expected).max() > 0.01


@pytest.mark.parametrize("line", [1, 12])
def test_a_changed_input_is_noticed(line: int, interrupted: Path, model: SimCSE, corpus: Path) -> None:
    """The encoded part has changed, not the rest."""
    lines = corpus.read_text().splitlines()
    lines[line] = "Something else."
    corpus.write_text("".join(f"{text}\n" for text in lines))
    if line < 8:
        with pytest.raises(DataError, match="the input has changed since 8 of its rows were encoded"):
            encode_files(model, corpus, interrupted, shard_size=4)
    else:
        assert encode_files(model, corpus, interrupted, shard_size=4).rows == len(TEXTS)


def test_a_shorter_input_is_noticed(interrupted: Path, model: SimCSE, corpus: Path) -> None:
    corpus.write_text("".join(f"{text}\n" for text in TEXTS[:6]))
    with pytest.raises(DataError, match="the input has changed"):
        encode_files(model, corpus, interrupted, shard_size=4)


@pytest.mark.parametrize(("damage", "left"), [("short", 4), ("flipped", 0), ("gone", 0)])
def test_vectors_that_are_not_what_was_written_are_encoded_again(
    damage: str, left: int, interrupted: Path, model: SimCSE, corpus: Path, expected: np.ndarray
) -> None:
    vectors = interrupted.parent / f".{interrupted.name}.encoding" / "vectors"
    content = bytearray(vectors.read_bytes())
    if damage == "short":
        vectors.write_bytes(content[:-1])
    elif damage == "flipped":
        content[4096] ^= 1
        vectors.write_bytes(content)
    else:
        vectors.unlink()
    with pytest.warns(Notice, match=f"from row {left} on: the last {8 - left} of its 8 rows are encoded again"):
        assert encode_files(model, corpus, interrupted, shard_size=4).resumed_at == left
    np.testing.assert_allclose(read(interrupted), expected, atol=1e-5)


def test_a_record_that_was_cut_off_does_not_count(interrupted: Path, model: SimCSE, corpus: Path) -> None:
    records = interrupted.parent / f".{interrupted.name}.encoding" / "shards.jsonl"
    first, second = records.read_bytes().splitlines(keepends=True)
    records.write_bytes(first + second[:-1])  # the process died while writing: that shard does not count
    assert encode_files(model, corpus, interrupted, shard_size=4).resumed_at == 4


def test_a_record_that_is_no_json_is_named(interrupted: Path, model: SimCSE, corpus: Path) -> None:
    records = interrupted.parent / f".{interrupted.name}.encoding" / "shards.jsonl"
    records.write_bytes(b"{broken\n" + records.read_bytes())
    with pytest.raises(DataError, match=r"shards\.jsonl, line 1 is damaged .*; delete"):
        encode_files(model, corpus, interrupted, shard_size=4)


def test_an_input_that_changes_between_the_two_readings_is_noticed(
    model: SimCSE, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For .parquet, which is read again for ids and texts."""
    source = tmp_path / "in.parquet"
    pq.write_table(pa.table({"text": TEXTS[:8]}), source)
    encode = SimCSE.encode

    def changing(self: SimCSE, texts: list[str], **more: Any) -> Any:
        vectors = encode(self, texts, **more)
        pq.write_table(pa.table({"text": [*TEXTS[:7], "Another one."]}), source)
        return vectors

    with monkeypatch.context() as patch:
        patch.setattr(SimCSE, "encode", changing)
        with pytest.raises(DataError, match="the input has changed since 8 of its rows were encoded"):
            encode_files(model, source, tmp_path / "v.parquet", texts=True)
    assert not (tmp_path / "v.parquet").exists()


def test_a_replacement_that_was_killed_before_its_name_is_made(
    model: SimCSE, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old output is still there, and is not taken for the new one."""
    for suffix in (".npy", ".parquet"):
        output = tmp_path / f"v{suffix}"
        encode_files(model, corpus, output)
        replace = os.replace

        def dying(source: Any, target: Any, output: Path = output, replace: Any = replace) -> None:
            if Path(target) == output:
                raise Killed
            replace(source, target)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", dying)
            with pytest.raises(Killed):
                encode_files(model, corpus, output, normalize_embeddings=True, overwrite=True)
        encode_files(model, corpus, output, normalize_embeddings=True, overwrite=True)
        np.testing.assert_allclose(np.linalg.norm(read(output), axis=1), 1, atol=1e-5)


def test_cut_rows_are_counted_over_all_shards(tiny_model: Callable[[str], Path], corpus: Path, tmp_path: Path) -> None:
    short = SimCSE(tiny_model("bert"), pooling="mean", device="cpu", max_seq_length=9)
    lengths = short.tokenize([text.strip() for text in TEXTS], max_seq_length=60).lengths
    cut = int((lengths > 9).sum())
    with pytest.warns(Notice, match=f"{cut} of {len(TEXTS)} texts are longer than max_seq_length = 9"):
        counts = encode_files(short, corpus, tmp_path / "v.npy", shard_size=4)
    assert counts.truncated == cut


def test_the_bar_moves_by_batches_not_by_shards(
    model: SimCSE, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[float] = []
    monkeypatch.setattr(
        "tqdm.auto.tqdm.update", lambda self, n=1: getattr(self, "unit", "") == "row" and steps.append(n)
    )
    encode_files(model, corpus, tmp_path / "v.npy", batch_size=2, show_progress_bar=True)
    assert sum(steps) == len(TEXTS)
    assert len(steps) > 5


def test_one_process_at_a_time(model: SimCSE, corpus: Path, tmp_path: Path) -> None:
    import fcntl

    folder = tmp_path / ".v.npy.encoding"
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(DataError, match="another process is writing"):
        encode_files(model, corpus, tmp_path / "v.npy")
    os.close(descriptor)
    encode_files(model, corpus, tmp_path / "v.npy")


def test_a_full_disk(model: SimCSE, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the disk; there is no output, and earlier shards are kept."""
    from simcse_kit.encoding.bulk import journal

    append, calls = journal.Journal.append, []

    def full(self: Any, *given: Any) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        append(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(journal.Journal, "append", full)
        with pytest.raises(DiskFullError, match="no space left"):
            encode_files(model, corpus, tmp_path / "v.npy", shard_size=4)
    assert not (tmp_path / "v.npy").exists()
    assert encode_files(model, corpus, tmp_path / "v.npy", shard_size=4).resumed_at == 8


# What is refused


@pytest.mark.parametrize(
    ("output", "arguments", "text"),
    [
        ("v.bin", {}, r"must end in \.npy, \.safetensors, \.parquet"),
        ("v.npy", {"precision": "float64"}, "precision must be one of float32, float16, int8, binary; got 'float64'"),
        ("v.npy", {"texts": True}, r"need an output that ends in \.parquet"),
        ("v.npy", {"shard_size": 0}, "shard_size must be at least 1"),
        ("none/v.npy", {}, "the folder .* does not exist"),
        ("there.npy", {}, "already exists"),
    ],
)
def test_wrong_arguments(
    output: str, arguments: dict[str, Any], text: str, model: SimCSE, corpus: Path, tmp_path: Path
) -> None:
    (tmp_path / "there.npy").write_bytes(b"x")
    with pytest.raises(DataError, match=text):
        encode_files(model, corpus, tmp_path / output, **arguments)
    assert not left_behind(tmp_path)


def test_bad_rows(model: SimCSE, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "It rains."}\n{"text": null}\n{"text": "It snows."}\n')
    with pytest.raises(DataError, match=r"in\.jsonl, line 2: expected a string, found null"):
        encode_files(model, tmp_path / "in.jsonl", tmp_path / "v.parquet")
    counts = encode_files(model, tmp_path / "in.jsonl", tmp_path / "v.parquet", skip_bad_rows=True, overwrite=True)
    assert (counts.rows, counts.skipped) == (2, 1)


def test_ids_of_two_kinds(model: SimCSE, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"text": "a b", "id": 1}\n{"text": "c d", "id": "x"}\n')
    with pytest.raises(DataError, match="ids must be all strings or all integers; row 2 has 'x'"):
        encode_files(model, tmp_path / "in.jsonl", tmp_path / "v.parquet", id_column="id")


def test_the_command(tiny_model: Callable[[str], Path], corpus: Path, tmp_path: Path, expected: np.ndarray) -> None:
    arguments = ["encode", str(tiny_model("bert")), str(corpus), str(tmp_path / "v.npy"), "--pooling", "mean"]
    result = CliRunner().invoke(app, [*arguments, "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert "rows" in result.stdout
    np.testing.assert_allclose(read(tmp_path / "v.npy"), expected, atol=1e-5)
