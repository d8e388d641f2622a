"""The registry of parts, on a family that the test makes."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from simcse_kit.errors import Notice, SimCSEKitError
from simcse_kit.parts import Family, check_settings, setting


class ShapeError(SimCSEKitError):
    pass


@dataclass(frozen=True, kw_only=True)
class Shape:
    name: str
    help: str
    source: str = ""
    order: int = 100


@pytest.fixture
def shapes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Family[Shape]]:
    """A family whose package has two files of parts and one that is private."""
    package = tmp_path / "drawing" / "shapes"
    package.mkdir(parents=True)
    (tmp_path / "drawing" / "__init__.py").write_text("FOUND = []\n")
    (package / "__init__.py").write_text("")
    for file, name in (("square", "square"), ("circle", "circle"), ("_helper", "broken")):
        (package / f"{file}.py").write_text(f"import drawing\ndrawing.FOUND.append({name!r})\n")
    monkeypatch.syspath_prepend(tmp_path)
    made: Family[Shape] = Family("shape", "drawing.shapes", ShapeError, Shape)
    made.register(Shape(name="square", help="four sides", order=1))
    made.register(Shape(name="circle", help="no side"), "ring")
    yield made
    for name in [name for name in sys.modules if name.partition(".")[0] == "drawing"]:
        del sys.modules[name]


def test_parts_are_found_by_name_and_alias_in_their_order(shapes: Family[Shape]) -> None:
    assert shapes.names() == ("square", "circle")
    assert shapes.get("ring") is shapes.get("circle")
    assert shapes.canonical("ring") == "circle"
    assert "ring" in shapes
    assert "oval" not in shapes
    assert shapes.path_of(shapes.get("square")) == "square"
    assert shapes.group == "simcse_kit.shapes"


def test_the_files_of_the_package_are_imported_when_a_part_is_asked_for(shapes: Family[Shape]) -> None:
    assert "drawing.shapes.square" not in sys.modules
    shapes.names()
    import drawing  # type: ignore[import-not-found]

    assert sorted(drawing.FOUND) == ["circle", "square"]


def test_an_unknown_name_lists_the_choices_and_the_nearest(shapes: Family[Shape]) -> None:
    expected = r"^shape must be one of square, circle; ring is circle; got 'cicle'; did you mean circle\?$"
    with pytest.raises(ShapeError, match=expected):
        shapes.get("cicle")
    with pytest.raises(ShapeError, match=r"got 'xyz'$"):
        shapes.get("xyz")


def test_a_name_stands_for_one_part(shapes: Family[Shape]) -> None:
    shapes.register(Shape(name="square", help="four sides", order=1))  # imported again
    other = dataclass(frozen=True, kw_only=True)(type("Other", (Shape,), {}))
    with pytest.raises(ValueError, match=r"two parts of simcse_kit\.shapes are called 'ring'"):
        shapes.register(other(name="oval", help=""), "ring")


def test_users_bring_their_own_by_module_and_attribute(
    shapes: Family[Shape], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A given name is imported; a name from a file is not, unless remote code is trusted."""
    own = "from test_registry import Shape\nstar = Shape(name='star', help='')\nno = 3\n"
    (tmp_path / "own_shapes.py").write_text(own)
    monkeypatch.syspath_prepend(Path(__file__).parent)
    with pytest.raises(ShapeError, match=r"shape own_shapes:star is code outside this package.*trust_remote_code"):
        shapes.get("own_shapes:star", recorded=True)
    assert "own_shapes" not in sys.modules
    assert shapes.get("own_shapes:star").name == "star"
    assert shapes.get("own_shapes:star", recorded=True, trust_remote_code=True).name == "star"
    assert shapes.canonical("own_shapes:star") == "own_shapes:star"
    with pytest.raises(ShapeError, match="shape own_shapes:no is of type int, not Shape"):
        shapes.get("own_shapes:no")
    with pytest.raises(ShapeError, match="own_shapes has no moon"):
        shapes.get("own_shapes:moon")
    del sys.modules["own_shapes"]


def test_what_is_known_imports_nothing(shapes: Family[Shape], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_moons.py").write_text("from test_registry import Shape\nmoon = Shape(name='moon', help='')\n")
    monkeypatch.syspath_prepend(Path(__file__).parent)
    assert shapes.known("ring") is shapes.get("circle")
    assert shapes.known("own_moons:moon") is None
    assert shapes.known(None) is None
    assert "own_moons" not in sys.modules
    assert shapes.known("own_moons:moon") is not shapes.get("own_moons:moon")
    assert shapes.known("own_moons:moon") is shapes.get("own_moons:moon")
    del sys.modules["own_moons"]


def test_a_family_reads_as_a_mapping_by_name(shapes: Family[Shape]) -> None:
    named = shapes.by_name()
    assert list(named) == ["square", "circle"]
    assert len(named) == 2
    assert named["circle"] is shapes.get("circle")
    assert "circle" in named
    assert "ring" not in named  # an alias is no further part
    assert [name for name, part in named.items() if part.help] == ["square", "circle"]
    with pytest.raises(KeyError):
        named["oval"]
    shapes.register(Shape(name="oval", help=""))
    assert "oval" in named


def test_other_packages_add_parts_by_entry_points(shapes: Family[Shape], monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        def __init__(self, name: str, part: Any) -> None:
            self.name, self.value, self._part = name, f"elsewhere:{name}", part

        def load(self) -> Any:
            if self._part is None:
                raise ImportError("no such module")
            return self._part

    points = [Point("oval", Shape(name="oval", help="")), Point("gone", None)]
    monkeypatch.setattr("simcse_kit.parts.registry.entry_points", lambda group: points if group == shapes.group else [])
    with pytest.warns(Notice, match="shape gone of elsewhere:gone cannot be loaded and is ignored: no such module"):
        assert shapes.get("oval").name == "oval"
    assert importlib.metadata.entry_points(group=shapes.group) == ()


@dataclass(frozen=True, kw_only=True)
class Settings:
    temperature: float = setting(0.05, "Softmax temperature.", above=0)
    rate: float | None = setting(None, "Share.", at_least=0, below=1)
    widths: tuple[int, ...] = setting((), "Widths.", above=0)
    mode: str = setting("a", "Mode.", choices=("a", "b"))

    def __post_init__(self) -> None:
        check_settings(self, ShapeError)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"temperature": 0}, "temperature must be above 0; got 0"),
        ({"temperature": float("nan")}, "temperature must be a finite number; got nan"),
        ({"temperature": True}, "temperature must be above 0; got True"),
        ({"rate": 1}, "rate must be at least 0 and below 1; got 1"),
        ({"widths": (3, -1)}, "widths must be above 0; got -1"),
        ({"mode": "c"}, "mode must be one of a, b; got 'c'"),
    ],
)
def test_settings_outside_of_their_bounds(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError, match=f"^{message}$"):
        Settings(**given)


def test_settings_within_their_bounds() -> None:
    assert Settings(rate=0, widths=(1, 2), mode="b") == Settings(rate=0.0, widths=(1, 2), mode="b")
