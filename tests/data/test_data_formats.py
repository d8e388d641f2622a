"""Equal rows give equal data in every format: plain, compressed, Parquet, and with `datasets`."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from simcse_kit.data import read_examples, read_scored_pairs, read_sentences
from simcse_kit.data.source import count_rows
from simcse_kit.errors import DataError

Write = Callable[[str, str | bytes], Path]

NAMES = ("sent0", "sent1", "hard_neg")
ROWS: list[tuple[str, ...]] = [
    ("Ein Mann spielt Gitarre.", "Jemand macht Musik.", "Niemand spielt."),
    ("한 남자가 춤을 춘다.", "춤추는 남자", "잠자는 남자"),
    ("A man, alone; sings", "One man sings", "Two men sing"),
]


def quoted(cells: tuple[str, ...]) -> str:
    return ",".join(f'"{cell}"' for cell in cells)


CONTENTS = {
    ".csv": "\n".join(map(quoted, [NAMES, *ROWS])),
    ".tsv": "\n".join(map("\t".join, [NAMES, *ROWS])),
    ".jsonl": "\n".join(json.dumps(dict(zip(NAMES, row, strict=True))) for row in ROWS),
}
CONTENTS[".ndjson"] = CONTENTS[".jsonl"]


def write_parquet(path: Path, columns: dict[str, list[object]]) -> Path:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    pq.write_table(pa.table(columns), path)
    return path


def columns_of(rows: list[tuple[str, ...]]) -> dict[str, list[object]]:
    return {name: [row[i] for row in rows] for i, name in enumerate(NAMES)}


@pytest.mark.parametrize("suffix", CONTENTS)
@pytest.mark.parametrize("packed", ["", ".gz"])
def test_text_formats_agree(write: Write, suffix: str, packed: str) -> None:
    data = read_examples(write(f"a{suffix}{packed}", CONTENTS[suffix]))
    assert data.rows == ROWS
    assert data.source.endswith(suffix + packed)
    assert data.fingerprint() == read_examples(ROWS).fingerprint()


def test_suffixes_go_without_case(write: Write) -> None:
    assert read_examples(write("a.CSV", CONTENTS[".csv"])).rows == ROWS


def test_parquet_agrees(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", {"vector": [[1.0], [2.0], [3.0]], **columns_of(ROWS)})
    assert read_examples(path).fingerprint() == read_examples(ROWS).fingerprint()
    packed = tmp_path / "a.parquet.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read_examples(packed).rows == ROWS
    assert read_examples(path, columns=("HARD_NEG", "sent0")).rows == [(row[2], row[0]) for row in ROWS]


def test_parquet_rows_keep_their_number_across_batches(tmp_path: Path) -> None:
    texts: list[object] = [f"sentence {i}" for i in range(2500)]
    texts[1999], texts[2300] = " ", None
    path = write_parquet(tmp_path / "a.parquet", {"text": texts, "id": list(range(2500))})
    with pytest.raises(DataError, match=r"a\.parquet, row 2301: expected a string, found null"):
        read_sentences(path)
    data = read_sentences(path, skip_bad_rows=True)
    assert (len(data), data.empty, [bad.line for bad in data.skipped]) == (2498, 1, [2301])


def test_parquet_text_that_is_not_utf8(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    broken = pa.array([b"fine", b"caf\xe9"]).view(pa.string())
    pq.write_table(pa.table({"text": broken}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"row 2: expected a string, found b'caf\\xe9'"):
        read_sentences(tmp_path / "a.parquet")


def test_parquet_that_is_none_or_has_other_columns(write: Write, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*a\.parquet as Parquet"):
        read_sentences(write("a.parquet", "no"))
    path = write_parquet(tmp_path / "b.parquet", {"body": ["a"], "n": [1]})
    with pytest.raises(DataError, match=r"row 1: found the columns body, n; needed: .*--columns"):
        read_sentences(path)
    with pytest.raises(DataError, match=r"row 1: expected a string, found 1"):
        read_sentences(path, columns=["n"])
    with pytest.raises(DataError, match=r"holds no sentences"):
        read_sentences(write_parquet(tmp_path / "c.parquet", {"text": []}))


def test_bare_json_strings(write: Write) -> None:
    assert read_sentences(write("a.jsonl", '"one"\n\n" two "\n""\n')).column(0) == ["one", "two"]
    with pytest.raises(DataError, match="line 2: expected a string, found an object: 'two'"):
        read_sentences(write("a.jsonl", '"one"\n{"text": "two"}\n'))
    with pytest.raises(DataError, match="line 1: found 1 column"):
        read_examples(write("a.jsonl", '"one"\n'))


@pytest.fixture
def hub_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A local data set with a train and a test split."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "train.jsonl").write_text(CONTENTS[".jsonl"], encoding="utf-8")
    (folder / "test.jsonl").write_text(
        '{"sentence1": "a", "sentence2": "b", "score": 2.5}\n{"sentence1": "c", "sentence2": "d", "score": null}\n',
        encoding="utf-8",
    )
    return folder


def test_hub_data_sets(hub_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (hub_folder / "test.jsonl").rename(hub_folder / "keep")
    data = read_examples(f"hf:{hub_folder}")
    assert (data.rows, data.source) == (ROWS, f"hf:{hub_folder}")
    assert read_examples(f"hf:{hub_folder}:train[:2]").rows == ROWS[:2]
    with pytest.raises(DataError, match=r"row 1: found the columns sent0, sent1, hard_neg; .*--columns"):
        read_sentences(f"hf:{hub_folder}")
    with pytest.raises(DataError, match=r"split 'nope' .*check name, configuration and split"):
        read_examples(f"hf:{hub_folder}:nope")
    with pytest.raises(DataError, match="hf:no/such: cannot load data set 'no/such', split 'train'"):
        read_examples("hf:no/such")


def test_scored_pairs_through_hub(hub_folder: Path) -> None:
    (hub_folder / "train.jsonl").unlink()
    pairs = read_scored_pairs(f"hf:{hub_folder}:test")
    assert (pairs.first, pairs.second, pairs.gold.tolist(), pairs.dropped) == (["a"], ["b"], [2.5], 1)


@pytest.mark.parametrize(("raw", "rows"), [(b"", 0), (b"a\n", 1), (b"a\nb", 2), (b"a\nb\n", 2)])
def test_a_bar_counts_the_last_line_without_its_end(raw: bytes, rows: int, tmp_path: Path) -> None:
    path = tmp_path / "rows.txt"
    path.write_bytes(raw)
    assert count_rows([str(path)]) == rows
