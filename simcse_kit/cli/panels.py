"""Plain-text help with a section for each panel of options."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand


class PanelledCommand(TyperCommand):
    """A command whose help groups options by ``rich_help_panel``, in the order of each panel's first option."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write one definition list per panel."""
        panels: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                panel = getattr(parameter, "rich_help_panel", None)
                section = "Arguments" if parameter.param_type_name == "argument" else panel or "Options"
                panels.setdefault(section, []).append(record)
        for panel, records in panels.items():
            with formatter.section(panel):
                formatter.write_dl(records)
