"""The architecture: a module imports only from layers below its own (see the table)."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import simcse_kit

ROOT = Path(simcse_kit.__file__).parent

# Rows are layers, from the bottom up. A name is a module, or a folder whose modules may import each other without a
# cycle.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("bars", "cores", "errors", "types", "wording"),
    ("files", "launch", "parts", "tabular"),
    ("distributed",),
    ("data", "losses"),
    ("evaluation", "search", "objectives"),
    ("encoder",),
    ("model",),
    ("index", "training", "encoding"),
    ("report", "serving"),
    ("workflows",),
    ("cli",),
    ("__main__",),
)
LAYER = {name: number for number, row in enumerate(LAYERS) for name in row}


def module_name(path: Path) -> str:
    """Dotted name below the package; a folder's ``__init__`` has the folder's name."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py")) if path != ROOT / "__init__.py"}


def imports(path: Path) -> set[str]:
    """Modules of this package that a file imports anywhere: at the top, in functions, for type checking only."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            base = node.module or ""
            for alias in node.names:  # `from simcse_kit.encoder import load` imports a module
                full = f"{base}.{alias.name}".removeprefix("simcse_kit.")
                found.add(f"{base}.{alias.name}" if full in MODULES else base)
    return {name.removeprefix("simcse_kit.") for name in found if name.split(".")[0] == "simcse_kit"}


def layer(name: str) -> int:
    return LAYER[name.partition(".")[0]]


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_only_from_below(name: str) -> None:
    top = name.partition(".")[0]
    assert top in LAYER, f"{name} has no layer: put it into the table of tests/test_layers.py and of the design"
    for imported in imports(MODULES[name]):
        if imported == "simcse_kit":
            pytest.fail(f"{name} imports from the package itself, which imports everything; name the module")
        other = imported.partition(".")[0]
        assert other in LAYER, f"{name} imports {imported}, which has no layer"
        if other != top:
            assert layer(imported) < layer(name), f"{name} (layer {layer(name)}) imports {imported} ({layer(imported)})"


def test_no_cycle_inside_a_folder() -> None:
    graph = {name: imports(path) & set(MODULES) - {name} for name, path in MODULES.items()}
    for name in graph:
        graph[name] = {other for other in graph[name] if other.partition(".")[0] == name.partition(".")[0]}
        if "." not in name:  # a folder's __init__ re-exports
            graph[name] = set()
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"modules import each other in a circle: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("name", MODULES)
def test_a_file_has_one_idea_and_at_most_400_lines(name: str) -> None:
    assert len(MODULES[name].read_text(encoding="utf-8").splitlines()) <= 400


def test_the_test_sees_imports_everywhere(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(
        "import simcse_kit.model\nfrom simcse_kit import losses\n"
        "def f():\n    from simcse_kit.cli import main\n"
        "if TYPE_CHECKING:\n    from simcse_kit.encoder import load\n"
    )
    assert imports(tmp_path / "m.py") == {"model", "losses", "cli", "encoder.load"}
