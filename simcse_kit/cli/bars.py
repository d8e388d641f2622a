"""Progress bars without a terminal: log lines, JSON lines for another program, or nothing."""

from __future__ import annotations

import sys
from time import monotonic
from typing import Any, ClassVar

from tqdm.std import tqdm

from simcse_kit.cli.lines import write_line

_OF_KNOWN_LENGTH = "{desc}: {percentage:.0f}% {n_fmt}/{total_fmt} {unit} [{elapsed}, {rate_fmt}{postfix}]"


class _Nowhere:
    """A stream that ignores what tqdm writes to move a bar."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None: ...


class _Lines(tqdm):  # type: ignore[misc]
    """A bar that writes whole lines to standard error: one every few seconds and one at its end."""

    seconds: ClassVar[float]  # seconds between two lines

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self._last = monotonic()
        super().__init__(*arguments, **{**settings, "file": _Nowhere()})

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Write a line if it is time. tqdm calls this whenever it would move the bar, and at the end."""
        now = monotonic()
        if self.disable or now - self._last >= self.seconds:  # `close` disables it first
            self._last = now
            self.write_line()

    def write_line(self) -> None:
        """Write the state of the bar."""
        raise NotImplementedError


class LogBar(_Lines):
    """For a log: one line every 30 seconds."""

    seconds = 30.0

    def write_line(self) -> None:
        """The text that tqdm shows: work done, time passed, speed."""
        shown = dict(self.format_dict)
        if self.total and shown["bar_format"] is None:
            shown["bar_format"] = _OF_KNOWN_LENGTH
        sys.stderr.write(self.format_meter(**shown) + "\n")
        sys.stderr.flush()


class JsonBar(_Lines):
    """For another program: one JSON object a second."""

    seconds = 1.0

    def write_line(self) -> None:
        """Work done, total (null: unknown) and seconds; ``ended`` is true in a bar's last line."""
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
    """A bar that shows nothing."""
    return tqdm(*arguments, **{**settings, "disable": True})
