"""Scripts in eval/ read their arguments before they compute, so that --help and a wrong argument overwrite nothing."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from support.scripts import load_script

EVAL = Path(__file__).parents[2] / "eval"
SCRIPTS = sorted(EVAL.glob("*.py"))


def called(line: ast.stmt) -> str:
    """Name of the function that a line of the form ``f(...)`` or ``name = f(...)`` calls."""
    value = getattr(line, "value", None)
    name = value.func if isinstance(value, ast.Call) else None
    return name.attr if isinstance(name, ast.Attribute) else getattr(name, "id", "")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_reads_its_arguments_first(script: Path) -> None:
    """Before the line that parses, it only describes them, or reads what it has written before."""
    (main,) = (
        node
        for node in ast.parse(script.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name == "main"
    )
    parsing = next(number for number, line in enumerate(main.body) if ".parse_args(" in ast.unparse(line))
    before = [line for line in main.body[1:parsing] if not ast.unparse(line).startswith("lines = load(")]
    assert {called(line) for line in before} <= {"ArgumentParser", "parser", "add_argument"}


@pytest.mark.parametrize(("given", "status"), [("--help", 0), ("--nonsense", 2), ("more", 2)])
def test_a_script_without_arguments_says_what_it_does_and_stops(
    given: str, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(EVAL)
    monkeypatch.setattr("sys.argv", ["memory.py", given])
    script = load_script(EVAL / "memory.py", "memory")
    with pytest.raises(SystemExit) as stop:
        script.main()
    assert stop.value.code == status
    said = capsys.readouterr()
    assert ("Writes results/memory.json" in said.out) == (status == 0)
    assert status == 0 or given in said.err
