"""Help with a section for each panel of options, in plain text."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand


class PanelledCommand(TyperCommand):
    """A command whose help groups its options by their ``rich_help_panel``, panels in order of their first one."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write one definition list for each panel."""
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
