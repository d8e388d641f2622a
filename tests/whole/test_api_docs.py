"""Docstrings of the public names: finds missing ones and names that do not exist."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

import simcse_kit
from simcse_kit.parts import Family
from support.scripts import load_script

SCRIPT = Path(__file__).parents[2] / ".ci" / "api_docs.py"
FAKE = '''
"""A package; `scale` is public, `simcse_kit` is not known here."""
from typing import NamedTuple

__all__ = ["TABLE", "Box", "Pair", "scale", "silent"]
TABLE = {"small": 1}


class _Base:
    def inherited(self):
        pass


class Box(_Base):
    """Keeps a `width` and an `area`; no `weight`. `Box.grow(2)`, not `Box.shrink`."""

    def __init__(self, width):
        self.width = width

    @property
    def area(self):
        pass

    def grow(self, by):
        """Grow `by` as much, see `area` and `fake.scale`; not `fake.absent`, and ``literally`` this."""

    def _private(self):
        pass


class Pair(NamedTuple):
    first: int


def scale(factor: float = 1.0) -> None:
    """By `factor`, `small` or `None`, not by `factors`; a `TABLE`, a `ValueError`, a path `a/b`."""


def silent():
    pass
'''


class Shape(NamedTuple):
    name: str
    help: str
    source: str = ""


@pytest.fixture
def api_docs(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load_script(SCRIPT, "api_docs", monkeypatch)


def test_the_package_has_no_problem(api_docs: ModuleType) -> None:
    assert api_docs.problems(simcse_kit) == []


def test_what_is_missing_and_what_does_not_exist_is_found(
    api_docs: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fake.py").write_text(FAKE, encoding="utf-8")
    assert api_docs.problems(load_script(tmp_path / "fake.py", "fake", monkeypatch)) == [
        "fake: `simcse_kit` does not exist",
        "fake.TABLE: no docstring",
        "fake.Box: `weight` does not exist",
        "fake.Box: `Box.shrink` does not exist",
        "fake.Box.area: no docstring",
        "fake.Box.grow: `fake.absent` does not exist",
        "fake.Box.inherited: no docstring",
        "fake.Pair: no docstring",
        "fake.scale: `factors` does not exist",
        "fake.silent: no docstring",
    ]


@pytest.mark.filterwarnings("ignore:Error parsing type annotation")  # names imported for type checkers
def test_the_page_shows_each_public_name_once(api_docs: ModuleType) -> None:
    before = {**vars(simcse_kit)}
    page = api_docs.page(simcse_kit)
    html = api_docs.pdoc.render.html_module(page, {"simcse_kit": page})
    shown = [*simcse_kit.__all__, "SimCSE.encode", "SimCSE.add_to_index", "SuiteResult.scores", "TrainResult.rows"]
    assert {name: html.count(f'id="{name}"') for name in shown} == dict.fromkeys(shown, 1)
    assert "field number" not in html  # docstrings of a NamedTuple's fields
    added = {name: value for name, value in vars(simcse_kit).items() if name not in before}
    assert all(isinstance(value, ModuleType) for value in added.values())  # imported since
    assert {name: vars(simcse_kit)[name] for name in before} == before


def test_a_family_of_parts_is_shown_as_a_table_is(api_docs: ModuleType, tmp_path: Path) -> None:
    shapes: Family[Shape] = Family("shape", "simcse_kit.parts", simcse_kit.SimCSEKitError, Shape)
    shapes.register(Shape("square", "four sides"))
    assert api_docs.choices(shapes) == [("square", "four sides")]
    module = ModuleType("drawing")
    module.SHAPES = shapes  # type: ignore[attr-defined]
    assert "square" in api_docs.module_names(module)
