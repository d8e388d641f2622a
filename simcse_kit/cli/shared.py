"""Options that every command takes, before its name and behind it: threads, and what standard error gets."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from simcse_kit.cli.panels import PanelledGroup


def _limit(threads: int | None) -> None:
    from simcse_kit.cli.threads import limit_threads

    if threads is not None:
        limit_threads(threads)


def _hush(quiet: bool) -> None:
    from simcse_kit.cli.console import speak

    if quiet:
        speak("quiet")


def _speak_json(json_progress: bool) -> None:
    from simcse_kit.cli.console import speak

    if json_progress:
        speak("json")


_PANEL = "Options of every command"


def _options(
    threads: Annotated[
        int | None,
        typer.Option(
            help="Most threads that the libraries use. Default: SIMCSE_KIT_THREADS, otherwise the cores of this "
            "process.",
            min=1,
            metavar="N",
            callback=_limit,
            expose_value=False,
            rich_help_panel=_PANEL,
        ),
    ] = None,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            help="Print results and errors only: no bars, no notes.",
            callback=_hush,
            expose_value=False,
            rich_help_panel=_PANEL,
        ),
    ] = False,
    json_progress: Annotated[
        bool,
        typer.Option(
            "--json-progress",
            help="Write progress, notes and errors as JSON lines on standard error.",
            callback=_speak_json,
            expose_value=False,
            rich_help_panel=_PANEL,
        ),
    ] = False,
) -> None: ...


def _add(parameters: list[Any], command: Any) -> None:
    """Add parameters to a command, or to a group and all its commands."""
    command.params.extend(parameters)
    for inner in getattr(command, "commands", {}).values():
        _add(parameters, inner)


class SharingGroup(PanelledGroup):
    """The group of all commands: each takes the shared options, and so does the group."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        app = typer.Typer(add_completion=False)
        app.command()(_options)
        _add(typer.main.get_command(app).params, self)
