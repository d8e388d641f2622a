"""Bars where no one watches: lines of a log, JSON for another program, or none."""

from __future__ import annotations

import sys
from time import monotonic
from typing import Any, ClassVar

from tqdm.std import tqdm

from simcse_kit.cli.lines import write_line

_OF_KNOWN_LENGTH = "{desc}: {percentage:.0f}% {n_fmt}/{total_fmt} {unit} [{elapsed}, {rate_fmt}{postfix}]"


class _Nowhere:
    """A stream for what tqdm writes to move a bar."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None: ...


class _Lines(tqdm):  # type: ignore[misc]
    """A bar that writes a line of its own on standard error after some seconds, and one at its end."""

    seconds: ClassVar[float]  # between two lines

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self._last = monotonic()
        super().__init__(*arguments, **{**settings, "file": _Nowhere()})

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Write a line, where it is time; tqdm calls this whenever it would move the bar, and at the end."""
        now = monotonic()
        if self.disable or now - self._last >= self.seconds:  # `close` disables it first
            self._last = now
            self.write_line()

    def write_line(self) -> None:
        """Write what is done."""
        raise NotImplementedError


class LogBar(_Lines):
    """For a log: a line every 30 seconds, without the bar itself."""

    seconds = 30.0

    def write_line(self) -> None:
        """As tqdm words it: how much is done, for how long, how fast."""
        shown = dict(self.format_dict)
        if self.total and shown["bar_format"] is None:
            shown["bar_format"] = _OF_KNOWN_LENGTH
        sys.stderr.write(self.format_meter(**shown) + "\n")
        sys.stderr.flush()


class JsonBar(_Lines):
    """For another program: an object a second."""

    seconds = 1.0

    def write_line(self) -> None:
        """What is done, of how much (null: not known), in seconds; ``ended`` is true in a bar's last line."""
        shown = self.format_dict
        write_line(
            "progress",
            what=self.desc.removesuffix(": "),
            done=shown["n"],
            total=shown["total"],
            unit=shown["unit"],
            seconds=round(shown["elapsed"], 3),
            note=shown["postfix"],
            ended=self.disable,
        )


def no_bar(*arguments: Any, **settings: Any) -> tqdm:
    """A bar that is not shown."""
    return tqdm(*arguments, **{**settings, "disable": True})
