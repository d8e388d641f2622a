"""Prose in the code is plain English: no phrase of the list in .ci/strings.py."""

from __future__ import annotations

import ast
from pathlib import Path
from types import ModuleType

import pytest

from support.scripts import load_script

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def strings() -> ModuleType:
    return load_script(ROOT / ".ci" / "strings.py", "strings_of_code")


def test_no_dialect_in_the_code(strings: ModuleType) -> None:
    found = [(piece, strings.dialect(piece)) for piece in strings.pieces()]
    assert [f"{piece.path}:{piece.line}: {phrase}" for piece, phrase in found if phrase] == []


@pytest.mark.parametrize("text", ["Drawn anew.", "keeps so many rows", "a file that is no index", "A file bears it."])
def test_dialect_is_found_in_docstrings_comments_and_errors(strings: ModuleType, text: str) -> None:
    for kind in ("docstring", "comment", "error"):
        assert strings.dialect(strings.Piece("simcse_kit/model.py", 1, kind, text))
    assert not strings.dialect(strings.Piece("tests/test_files.py", 1, "text", text))  # data of a test
    assert not strings.dialect(strings.Piece("simcse_kit/model.py", 1, "comment", "Drawn again, at most N rows."))


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ('raise DataError(f"{path} is empty")', "error"),
        ('say_once("two texts")', "warning"),
        ('typer.Option(help="Two words.")', "help"),
        ('print("two words")', "printed"),
        ('WORDS = "two words"', "text"),
        ('"""Two words."""', "docstring"),
    ],
)
def test_kinds_of_strings(strings: ModuleType, source: str, kind: str) -> None:
    assert [found for _, found, _ in strings.strings(ast.parse(source))] == [kind]


def test_adjacent_comment_lines_are_one(strings: ModuleType) -> None:
    assert list(strings.comments("# One\n# two.\nx = 1  # three\n")) == [
        (1, "comment", "One two."),
        (3, "comment", "three"),
    ]
