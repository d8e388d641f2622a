"""Options of every command: threads, and the style of standard error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from simcse_kit import bars
from simcse_kit.cli import app
from simcse_kit.cli import bars as kinds
from simcse_kit.cores import usable_cores
from support.commands import run

SHARED = {"threads", "quiet", "json_progress"}


@pytest.fixture
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simcse_kit.cores.allowed_cores", lambda: 1)


@pytest.fixture
def corpus(sentences: list[str], tmp_path: Path) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(sentences), encoding="utf-8")
    return path


def every(command: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from every(inner, f"{path} {name}".strip())


def test_every_command_takes_them_once() -> None:
    found = dict(every(get_command(app)))
    assert len(found) > 25
    for path, command in found.items():
        names = [parameter.name for parameter in command.params]
        assert {name: names.count(name) for name in SHARED} == dict.fromkeys(SHARED, 1), path


def _counted(*arguments: str, **environment: str) -> list[int]:
    """Threads of torch, FAISS and numpy in a command, and the threads given to the backends of this package."""
    code = (
        "import sys; from simcse_kit.cli import app, main, search\n"
        "def counts(name: str):\n"
        "    import faiss, numpy, torch\n"
        "    from threadpoolctl import threadpool_info\n"
        "    from simcse_kit.cores import usable_cores\n"
        "    blas = [one['num_threads'] for one in threadpool_info() if one['internal_api'] == 'openblas']\n"
        "    print(torch.get_num_threads(), faiss.omp_get_max_threads(), *blas, usable_cores())\n"
        "app.command('counts')(counts)\n"
        f"sys.argv = ['simcse-kit', *{arguments!r}]; main()"
    )
    given = {name: value for name, value in os.environ.items() if not name.endswith("_THREADS")} | environment
    done = subprocess.run([sys.executable, "-c", code], env=given, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [*map(int, done.stdout.split())]


@pytest.mark.slow  # three processes that import torch
@pytest.mark.skipif(usable_cores() < 2, reason="needs two cores")
def test_all_libraries_run_as_many_threads_as_are_asked_for() -> None:
    assert set(_counted("counts", "x")) != {1}
    assert set(_counted("counts", "x", "--threads", "1")) == {1}
    assert set(_counted("--threads", "1", "counts", "x", OMP_NUM_THREADS="2")) == {1}
    assert set(_counted("counts", "x", SIMCSE_KIT_THREADS="1")) == {1}
    assert set(_counted("counts", "x", "--threads", "2", SIMCSE_KIT_THREADS="1")) == {2}


def test_openvino_takes_no_more_threads_than_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMCSE_KIT_THREADS", "1")
    assert usable_cores() == 1


@pytest.mark.parametrize("text", ["0", "two", "-1", "1.5"])
def test_a_number_of_threads_that_is_none_is_an_error_by_name(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMCSE_KIT_THREADS", text)
    done = run("recipes")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"SIMCSE_KIT_THREADS must be a number of threads, at least 1; got '{text}'" in done.stderr


def test_more_threads_than_cores_are_not_run_and_it_is_said(one_core: None) -> None:
    assert "--threads 64: this process may use only 1 cores" in run("recipes", "--threads", 64).stderr


def test_without_a_terminal_a_bar_is_a_line(model_folder: Path, corpus: Path, tmp_path: Path) -> None:
    done = run("encode", model_folder, corpus, tmp_path / "out.npy")
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "Encoding" in line]
    assert line.startswith("Encoding: 100% 40/40 row [")
    assert "\r" not in done.stderr


@pytest.mark.parametrize("before", [True, False])
def test_quiet_writes_nothing_but_results(before: bool, model_folder: Path, corpus: Path, tmp_path: Path) -> None:
    command = ["encode", model_folder, corpus, tmp_path / "out.npy"]
    done = run(*(["--quiet", *command] if before else [*command, "--quiet"]))
    assert (done.returncode, done.stderr) == (0, "")
    assert "40" in done.stdout


@pytest.mark.parametrize("style", ["quiet", "json"])
def test_downloads_show_no_bar_either(style: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_DISABLE_PROGRESS_BARS", "HF_DATASETS_DISABLE_PROGRESS_BARS"):
        monkeypatch.setenv(name, "0")
    code = (
        f"from simcse_kit.cli.console import speak; speak({style!r})\n"
        "import huggingface_hub.constants as hub, datasets.config as data\n"
        "print(hub.HF_HUB_DISABLE_PROGRESS_BARS, data.HF_DATASETS_DISABLE_PROGRESS_BARS)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["True", "True"], done.stderr


def test_quiet_still_says_what_is_wrong(tmp_path: Path) -> None:
    done = run("search", tmp_path / "nothing", "query", "--quiet")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")


def test_json_progress_is_json_from_the_first_line_to_the_last(
    model_folder: Path, corpus: Path, tmp_path: Path
) -> None:
    done = run("encode", model_folder, corpus, tmp_path / "out.npy", "--json-progress")
    said = [json.loads(line) for line in done.stderr.splitlines()]
    bar = next(one for one in said if one["kind"] == "progress")
    assert (bar["what"], bar["done"], bar["total"], bar["unit"], bar["ended"]) == ("Encoding", 40, 40, "row", True)
    failed = run("encode", model_folder, corpus, tmp_path / "out.npy", "--json-progress")
    assert [json.loads(line)["kind"] for line in failed.stderr.splitlines()] == ["error"]


def test_a_run_of_training_speaks_json_too(model_folder: Path, corpus: Path, tmp_path: Path) -> None:
    done = run("train", "unsup", corpus, "--model", model_folder, "--output-dir", tmp_path / "m", "--json-progress",
               "--epochs", 1, "--batch-size", 8, "--max-seq-length", 16)  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = [json.loads(line) for line in done.stderr.splitlines()]
    last = [one for one in said if one["kind"] == "progress" and one["what"] == "Training"][-1]
    assert last["done"] == last["total"] > 0
    assert last["ended"]


def test_what_a_command_chose_ends_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    run("recipes", "--quiet")
    with bars.tqdm(total=2, desc="After") as bar:
        bar.update(2)
    assert "\rAfter" in capsys.readouterr().err  # tqdm's own


def test_a_line_comes_each_thirty_seconds_and_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [100.0]
    monkeypatch.setattr(kinds, "monotonic", lambda: now[0])
    with kinds.LogBar(total=100, desc="Rows", unit="row", mininterval=0, miniters=1) as bar:
        for _ in range(10):
            now[0] += 10
            bar.update(10)
    said = [line.partition(" [")[0] for line in capsys.readouterr().err.splitlines()]
    assert said == [f"Rows: {done}% {done}/100 row" for done in (30, 60, 90, 100)]


def test_no_other_place_makes_bars() -> None:
    package = Path(bars.__file__).parent
    makes = {path.relative_to(package) for path in package.rglob("*.py") if "from tqdm" in path.read_text("utf-8")}
    assert makes == {Path("bars.py"), Path("cli/bars.py")}
