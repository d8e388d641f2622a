"""What a command imports before it answers: imports take the seconds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from simcse_kit import SentenceIndex, SimCSE
from simcse_kit.cli import app
from simcse_kit.encoder.light import opened
from support.imports import HEAVY, command_imports, imports_of

MANY = """
import json
from simcse_kit.cli import main

given, heavy = map(json.loads, sys.argv[1:])
for arguments in given:
    sys.argv = ["simcse-kit", *arguments]
    sys.stdout.flush()
    try:
        main()
        code = 0
    except SystemExit as stop:
        code = stop.code
    print("\\nDONE", json.dumps([arguments, code, sorted({*sys.modules} & {*heavy})]), flush=True)
"""


def run_all(calls: list[list[str]], cwd: Path) -> Iterator[tuple[list[str], int, list[str]]]:
    """Arguments, exit status and the heavy modules so far of one command after the other, in one process."""
    done = imports_of(MANY, json.dumps(calls), json.dumps(HEAVY), cwd=cwd)
    found = [json.loads(line.removeprefix("DONE ")) for line in done.output.splitlines() if line.startswith("DONE ")]
    assert len(found) == len(calls), done.errors
    yield from found


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory, tiny_model: Callable[[str], Path]) -> Path:
    """A folder with a model, an index, and files that are right."""
    folder = tmp_path_factory.mktemp("places")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.setattr(opened, "is_cold", lambda: True)
        SimCSE(tiny_model("bert"), pooling="mean").save(folder / "model")
        model = SimCSE(folder / "model")
        SentenceIndex.build(model, ["The cat sleeps.", "It will rain.", "Salt is missing."]).save(folder / "index")
    (folder / "texts.txt").write_text("The cat sleeps.\nIt will rain.\nSalt is missing.\n")
    (folder / "texts.xyz").write_text("The cat sleeps.\n")
    return folder


@pytest.mark.parametrize(
    "name",
    ["simcse_kit.model", "simcse_kit.index.sentence_index", "simcse_kit.training.run", "simcse_kit.workflows.adapt"],
)
def test_modules_that_look_for_mistakes_import_nothing_heavy(name: str) -> None:
    assert imports_of(f"import {name}").heavy == []


@pytest.mark.parametrize("index", [[], ["--backend", "openvino"]])
def test_a_search_imports_neither_torch_nor_transformers(
    index: list[str], places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = str(places / "cache")
    if index:
        pytest.importorskip("openvino")
        monkeypatch.setenv("XDG_CACHE_HOME", cache)
        monkeypatch.setattr(opened, "is_cold", lambda: True)
        SimCSE(places / "model", backend="openvino")
    asked = ("search", "index", "The cat sleeps.", "-k", 1, "--format", "json", *index)
    found = command_imports(*asked, cwd=places, XDG_CACHE_HOME=cache)
    assert found.code == 0, found.errors
    assert json.loads(found.output)["hits"][0]["text"] == "The cat sleeps."
    assert found.heavy == (["openvino"] if index else [])


def test_one_text_imports_neither_torch_nor_transformers(places: Path) -> None:
    code = "from simcse_kit import SimCSE\nSimCSE('model').encode(['x'], normalize_embeddings=True)"
    found = imports_of(code, cwd=places, XDG_CACHE_HOME=str(places / "cache"))
    assert (found.code, found.heavy) == (0, []), found.errors


WRONG = """
search missing x
search texts.txt x
search index x --filter {bad
search index x --backend tensorrt
search index x --dtype float8
search index x --model missing/x/y
index build missing/x/y texts.txt out
index build model texts.txt out --kind nokind
index build model texts.txt out --pooling nopool
index build model texts.txt out --dtype float8
index build model texts.txt out --backend openvino --device cuda
index add missing texts.txt
index delete missing 1
index info missing
index verify missing
index compact missing
encode missing/x/y texts.txt o.npy
encode model texts.txt o.npy --dtype float8
encode model texts.txt o.npy --backend tensorrt
encode model missing.txt o.npy
encode model texts.xyz o.npy
encode model texts.txt o.xyz
train unsup missing.txt --output-dir o --model model
train unsup texts.xyz --output-dir o --model model
train unsup texts.txt --output-dir o
train unsup texts.txt --output-dir o --model missing/x/y
train unsup texts.txt --output-dir model --model model
train unsup texts.txt --output-dir o --model model --pooling nopool
train unsup texts.txt --output-dir o --model model --recipe norecipe
train unsup texts.txt --output-dir o --model model --objective noobjective
train unsup texts.txt --output-dir o --model model --temperature -1
train unsup texts.txt --output-dir o --model model --eval-data missing.tsv
train unsup texts.txt --output-dir o --model model --seeds 1,1
train sup missing.csv --output-dir o --model model
train --repeat missing --output-dir o
eval missing/x/y --suite pairs --data texts.txt
eval model --suite nosuite
eval model --suite pairs --data missing.tsv
report missing
export missing/x/y o
export model o --to nothing
adapt missing.txt --output-dir o --model model
adapt texts.txt --output-dir o --model missing/x/y
prepare sentences missing.txt o.txt
prepare nli missing.jsonl o.csv
prepare negatives missing.csv o.csv
mine missing
cluster missing
judge missing index
demo missing/x/y
serve missing/x/y
serve model --backend tensorrt
"""


def test_a_mistake_is_said_before_anything_heavy_is_imported(places: Path) -> None:
    calls, before, late = [line.split() for line in WRONG.strip().splitlines()], list[str](), []
    for arguments, code, heavy in run_all(calls, places):
        if not code or heavy != before:
            late.append((" ".join(arguments), code, heavy))
        before = heavy
    assert late == []


def test_the_help_of_every_command_imports_nothing_heavy(tmp_path: Path) -> None:
    def commands(command: object, names: list[str]) -> Iterator[list[str]]:
        yield [*names, "--help"]
        for name, inner in getattr(command, "commands", {}).items():
            yield from commands(inner, [*names, name])

    calls = list(commands(get_command(app), []))
    assert len(calls) > 25
    assert [found for found in run_all(calls, tmp_path) if found[1] != 0 or found[2]] == []
