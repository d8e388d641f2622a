"""examples/cli.md equals the commands' current help, and omits nothing."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

import pytest
import typer
from typer.core import TyperCommand
from typer.main import get_command

from simcse_kit.cli import app
from support.scripts import load_script

ROOT = Path(__file__).parents[2]
Hush = Annotated[bool, typer.Option("--hush/--no-hush", help="Say less.")]
Way = Annotated[Literal["near", "far"], typer.Option(help="Where to look; a|b, by --hush. Default: near. Or not.")]


@pytest.fixture
def cli_page(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load_script(ROOT / ".ci" / "cli_page.py", "cli_page", monkeypatch)


def made(cli_page: ModuleType, command: Any = app) -> str:
    text: str = cli_page.page(cli_page.describe(get_command(command), cli_page.PROGRAM))
    return text


def test_the_page_is_that_of_the_commands(cli_page: ModuleType) -> None:
    assert (ROOT / "examples" / "cli.md").read_text(encoding="utf-8") == made(cli_page), (
        "examples/cli.md is old: run `python .ci/cli_page.py`"
    )


def test_the_page_depends_on_the_commands_only(cli_page: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    before = made(cli_page)
    for name, value in {"COLUMNS": "40", "SIMCSE_KIT_SERVE_PORT": "9000", "SIMCSE_KIT_THREADS": "1"}.items():
        monkeypatch.setenv(name, value)
    assert made(cli_page) == before


def test_each_command_has_each_of_its_options(cli_page: ModuleType) -> None:
    sections = re.split(r"^#+ ", made(cli_page), flags=re.M)
    shared = "".join(one for one in sections if one.startswith("Options of every command"))
    for command in cli_page.all_of(cli_page.describe(get_command(app), cli_page.PROGRAM)):
        of_groups = [f"Options of all {path} commands\n" for path in _above(command.path)]
        own = "".join(one for one in sections if one.startswith((f"{command.path}\n", *of_groups))) + shared
        assert [row.name for row in command.rows if row.name not in own] == [], command.path


def _above(path: str) -> list[str]:
    words = path.split()
    return [" ".join(words[:count]) for count in range(1, len(words))]


class _Sectioned(TyperCommand):
    """A command that writes choices and examples below its options."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Places"):
            formatter.write_dl([("near", "Next door."), ("far", "By train.")])
        with formatter.section("Examples"):
            formatter.write(f"{'':>{formatter.current_indent}}simcse-kit look everywhere\n")


def _toy() -> typer.Typer:
    toy = typer.Typer(rich_markup_mode=None)

    @toy.command(cls=_Sectioned)
    def look(
        place: Annotated[Path, typer.Argument(help="Where.")],
        count: Annotated[int, typer.Option("-n", "--number", help="How many.", min=1, metavar="N")] = 3,
        way: Way = "near",
        hush: Hush = True,
    ) -> None:
        """Look around.

        Example: simcse-kit look here
        Example: simcse-kit look there
          --number 2
        """

    @toy.command(hidden=True)
    def secret() -> None:
        """Not for the page."""

    @toy.command()
    def go(hush: Hush = True) -> None:
        """Go away.

        \b
        torchrun FILE

        Examples:
          simcse-kit go
          simcse-kit go --no-hush
        """

    return toy


def test_words_of_the_help_become_tables_and_blocks(cli_page: ModuleType) -> None:
    text = made(cli_page, _toy())
    lines = text.splitlines()
    assert "| `place` | path | required | Where. |" in lines
    assert "| `-n`, `--number` | `N` (x ≥ 1) | `3` | How many. |" in lines
    assert "| `--way` | `near`, `far` | `near` | Where to look; a\\|b, by `--hush`. Or not. |" in lines
    assert lines.count("| `--hush`, `--no-hush` | flag | `--hush` | Say less. |") == 1  # of every command
    assert "```bash\nsimcse-kit look here\nsimcse-kit look there --number 2\nsimcse-kit look everywhere\n```" in text
    assert "| Places | what |\n| --- | --- |\n| `near` | Next door. |\n| `far` | By train. |\n" in text
    assert "```bash\nsimcse-kit go\nsimcse-kit go --no-hush\n```" in text
    assert "```bash\ntorchrun FILE\n```" in text
    assert "secret" not in text
