"""Help in plain text: a section for each panel of options, what choices mean, and examples at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from typer import BadParameter
from typer.core import TyperCommand, TyperGroup

F = TypeVar("F", bound=Callable[..., Any])
Choices = Mapping[str, Mapping[str, str]]
"""Sections of a help, each with names and what they mean."""

_MARK = "Example: "


def with_choices(choices: Choices) -> Callable[[F], F]:
    """A command whose help explains names that an option takes, below the options."""

    def give(command: F) -> F:
        command.choices = choices  # type: ignore[attr-defined]
        return command

    return give


class _Panelled:
    """Takes the lines that begin with ``Example:`` out of the help, and writes them at its end."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        lines = (self.help or "").splitlines()
        self.examples = [line.removeprefix(_MARK) for line in lines if line.startswith(_MARK)]
        self.help: str | None = "\n".join(line for line in lines if not line.startswith(_MARK)).strip() or None

    def write_panels(self, ctx: Any, formatter: Any) -> None:
        """Write a definition list for each panel, in the order of the first option of each, and the choices."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):  # type: ignore[attr-defined]
            record = parameter.get_help_record(ctx)
            if record is not None:
                panel = getattr(parameter, "rich_help_panel", None)
                section = "Arguments" if parameter.param_type_name == "argument" else panel or "Options"
                panels.setdefault(section, []).append(record)
        choices: Choices = getattr(self.callback, "choices", {})  # type: ignore[attr-defined]
        for title, records in (*panels.items(), *((title, [*names.items()]) for title, names in choices.items())):
            with formatter.section(title):
                formatter.write_dl(records)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples, each on a line of its own."""
        super().format_epilog(ctx, formatter)  # type: ignore[misc]
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"{'':>{formatter.current_indent}}{example}\n")


class PanelledCommand(_Panelled, TyperCommand):
    """A command with such a help."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse as typer does, without the name of pydantic's error in the text."""
        try:
            return super().parse_args(ctx, args)
        except BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            raise

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, options and choices."""
        self.write_panels(ctx, formatter)


class PanelledGroup(_Panelled, TyperGroup):
    """A group with such a help; its commands stand below its options."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write options, choices and commands."""
        self.write_panels(ctx, formatter)
        self.format_commands(ctx, formatter)
