"""The README, the figures of all documents, and the example scripts."""

from __future__ import annotations

import doctest
import importlib
import json
import operator
import re
import runpy
import sys
from pathlib import Path
from types import ModuleType

import pytest
from typer.main import get_command

import simcse_kit
from simcse_kit import SimCSE
from simcse_kit.cli import app
from simcse_kit.data import read_sentences, sample_sentences_path
from simcse_kit.training.recipes import measured, recipes
from support.scripts import load_script

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def test_both_commands_stand_in_the_readme() -> None:
    assert 'pip install -c constraints.txt ".[offline]" && simcse-kit quickstart' in README.splitlines()
    assert 'pip install -c constraints.txt ".[offline,dev]" && pytest' in README.splitlines()


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 200
    (figures,) = re.findall(r"<!-- figures -->\n(.*?)<!-- end of figures -->", README, re.S)
    assert len(re.findall(r"^\| (?!---|\|)", figures, re.M)) <= 8
    outside = README.replace(figures, "")
    assert not re.findall(r"\d\s*(?:MiB|GiB|ms|sentences/s|rows/s|×)", outside)  # no figure is typed in


def test_the_table_of_the_readme_names_what_there_is() -> None:
    rows = re.findall(r"^\| [^|]+ \| (`simcse-kit [^|]+) \| ([^|]+) \| \[\w+\]\((\S+)\) \|$", README, re.M)
    assert len(rows) == 14
    known = get_command(app).commands  # type: ignore[attr-defined]
    for commands, calls, guide in rows:
        for command in re.findall(r"`(?:simcse-kit )?([^`]+)`", commands):
            group, *rest = command.split()
            assert group in known, command
            assert all(name in known[group].commands for name in rest), command
        for call in re.findall(r"`([\w.]+)`", calls):
            assert operator.attrgetter(call)(simcse_kit), call
        assert (ROOT / guide).exists(), guide


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "eval")
    return load_script(ROOT / "eval" / "tables.py", "tables")


def test_figures_and_tables_of_the_documents_are_those_of_results_and_parts(tables: ModuleType) -> None:
    for path, text in tables.written().items():
        assert text == path.read_text(encoding="utf-8"), f"{path.name}: run python eval/tables.py"
    shown = {name for path in tables.PAGES for name in re.findall(r"<!-- end of ([\w-]+) -->", path.read_text())}
    assert shown == set(tables.blocks())
    assert set(measured()) <= set(recipes())


def test_figures_of_the_scaling_page_are_those_of_results() -> None:
    text = (ROOT / "examples" / "scaling.md").read_text(encoding="utf-8")
    own = re.sub(r"<!-- (\w+) -->.*?<!-- end of \1 -->", "", text, flags=re.S)
    assert not re.findall(r"\d[\d,.]*\s*(?:GiB|MiB|hours?|minutes?|min|ms|seconds?|s|MB/s)\b", own)
    large = json.loads((ROOT / "eval/results/search_large.json").read_text(encoding="utf-8"))
    row = next(line for line in text.splitlines() if line.startswith("| disk, GiB |"))
    measured, *longer = (cell.strip() for cell in row.strip("|").split("|")[1:])
    whole = large["search"]["disk_bytes"] / 2**30
    assert float(measured) == pytest.approx(whole, rel=0.05)
    for times, cell in zip((10, 100), longer, strict=True):  # extrapolated from the measured 10 million; marked
        assert cell.startswith("~")
        assert float(cell[1:].replace(",", "")) == pytest.approx(times * whole, rel=0.05)


def test_the_lecture_is_right() -> None:
    found = doctest.testfile(str(ROOT / "examples" / "contrastive_learning.md"), module_relative=False)
    assert found.attempted > 10
    assert found.failed == 0
    text = (ROOT / "examples" / "contrastive_learning.md").read_text(encoding="utf-8")
    for place in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / "examples" / place).exists(), place
    for name in re.findall(r"`simcse_kit\.([\w.]+)\.(\w+)`", text):  # each formula names the function that computes it
        assert hasattr(importlib.import_module(f"simcse_kit.{name[0]}"), name[1])


def test_each_promise_names_its_tests() -> None:
    text = (ROOT / "examples" / "search.md").read_text(encoding="utf-8")
    promises = re.findall(r"^\| \*\*(?:Never|Refused).*$", text, re.M)
    assert len(promises) == 5
    for promise in promises:
        named = re.findall(r"\[`(test_\w+)`\]\(\.\./(tests/[\w/]+\.py)\)", promise)
        assert named, promise
        for name, path in named:
            assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8"), name


def test_examples_are_short() -> None:
    for path in EXAMPLES:
        assert len(path.read_text(encoding="utf-8").splitlines()) < 60, path.name


OWN_TEST = ("simclr_images",)  # examples with a test of their own: tests/whole/test_simclr_images.py


@pytest.mark.parametrize("path", [path for path in EXAMPLES if path.stem not in OWN_TEST], ids=lambda path: path.stem)
def test_example_runs(
    path: Path, tmp_path: Path, minilm: SimCSE, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments: list[str] = []
    if path.stem == "train_unsupervised":
        small = tmp_path / "small.txt"
        small.write_text("\n".join(read_sentences(sample_sentences_path()).column(0)[:70]), encoding="utf-8")
        arguments = [str(small), str(tmp_path)]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(path), *arguments])
    monkeypatch.syspath_prepend(str(path.parent))  # as for a script
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out
