"""One meaning per name: public classes, functions and type aliases have unique names in the package."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import simcse_kit

ROOT = Path(simcse_kit.__file__).parent
ALLOWED = {
    "Combinations": "the command's help loads no numpy; tests/cli/test_commands.py holds the two equal",
    "SamplingStrategy": "the same",
}


def public_names(source: str) -> Iterator[str]:
    """Classes, functions and type aliases at the top of a module; constants are their module's own."""
    for node in ast.parse(source).body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found = name
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if not ast.unparse(value).startswith("TypeVar("):
                found = name if name[0].isupper() and not name.isupper() else "_"
            case _:
                continue
        if not found.startswith("_"):
            yield found


def test_a_public_name_has_one_definition() -> None:
    homes = defaultdict(list)
    for path in sorted(ROOT.rglob("*.py")):
        for name in public_names(path.read_text(encoding="utf-8")):
            homes[name].append(str(path.relative_to(ROOT)))
    assert len(homes) > 400
    twice = {name: places for name, places in homes.items() if len(places) > 1}
    assert {name: places for name, places in twice.items() if name not in ALLOWED} == {}
    assert set(ALLOWED) <= set(twice), "what is allowed is there no more"


def test_what_counts_as_a_public_name() -> None:
    source = (
        "class A: pass\n"
        "async def b(): pass\n"
        "def _c(): pass\n"
        "Pair = tuple[int, int]\n"
        "LIMIT = 3\n"
        "T = TypeVar('T')\n"
        "Item = TypeVar('Item')\n"
        "count = 1\n"
    )
    assert list(public_names(source)) == ["A", "b", "Pair"]
