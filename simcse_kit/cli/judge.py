"""``simcse-kit judge``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from simcse_kit.cli.completion import target_folders
from simcse_kit.cli.options import FILES, BackendOption, Columns, Device, Dtype, Pooling, TrustIndex, columns_of

if TYPE_CHECKING:
    from simcse_kit.evaluation.judging import Question
    from simcse_kit.index.judging import JudgeKey

PLACES = "1234567890abcdefghij"  # keys of the hits; no step has one of them
_STEPS: dict[str, JudgeKey] = {"\r": "next", "\n": "next", "s": "skip", "u": "undo", "q": "quit"}
_KEYS = "Enter next   s skip   u undo   w whole texts   q quit"
_CUT = 300  # characters of a hit
_TYPED = "-"
_SYSTEM = "First system: a model (folder or hub name), or the address of an index of TEXTS."


def judge_systems(
    first: Annotated[str, typer.Argument(help=_SYSTEM, metavar="A", autocompletion=target_folders)],
    second: Annotated[
        str,
        typer.Argument(
            help="Second system: a model or an index, as for A.", metavar="B", autocompletion=target_folders
        ),
    ],
    texts: Annotated[str, typer.Argument(help="Texts to search in: " + FILES, metavar="TEXTS")],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="Folder of the judgements. An existing one is continued.", metavar="FOLDER"
        ),
    ],
    queries: Annotated[
        str | None,
        typer.Option(
            help=f"File of queries, or {_TYPED} to type them. Default: texts of TEXTS, each searched among the "
            "others; if TEXTS are documents, you type the queries.",
            metavar="FILE",
        ),
    ] = None,
    hits: Annotated[
        int, typer.Option(help="Number of hits of each system for a query.", min=1, max=len(PLACES) // 2)
    ] = 5,
    seed: Annotated[int, typer.Option(help="Random seed of the order of queries and hits.")] = 0,
    columns: Columns = None,
    pooling: Pooling = None,
    device: Device = None,
    backend: BackendOption = "torch",
    dtype: Dtype = "float32",
    trust_remote_code: TrustIndex = False,
) -> None:
    """Mark relevant hits without seeing which system found them, and learn which of two systems is better.

    Each query shows the hits of both systems in one shuffled list. Digits mark relevant hits, Enter shows the next
    query. Each mark is saved at once, and the same command continues later. The interval of the difference is valid
    whenever you look, so you can stop at any time. Use the folder in eval --suite retrieval --data FOLDER and in
    train --eval-data FOLDER.

    Example: simcse-kit judge all-MiniLM-L6-v2 my-model tickets.txt --output judged
    Example: simcse-kit judge old-index new-index tickets.txt --output judged --queries queries.txt
    """
    from simcse_kit.cli.console import err, escaped, out, show_next
    from simcse_kit.data import read_sentences
    from simcse_kit.errors import SimCSEKitError
    from simcse_kit.index.judging import are_documents, judge
    from simcse_kit.workflows.steps import after_judging

    if not sys.stdin.isatty():
        raise SimCSEKitError(
            "judge reads keys from a terminal. On a page: simcse-kit demo INDEX --compare INDEX --judge FOLDER; in "
            "Python: simcse_kit.judge(..., ask=...)"
        )
    own = read_sentences(texts, columns=columns_of(columns)).column(0)
    with Keyboard() as keyboard:
        asked: str | Iterator[str] | None = queries
        if queries == _TYPED or (queries is None and are_documents(own)):
            err().print("type your queries, as you would ask them; an empty line ends")
            asked = iter(lambda: keyboard.line("query: ").strip(), "")
        elif queries is None:
            err().print("without --queries, texts drawn by chance are the queries, each searched among the others")
        screen = _Screen(keyboard)
        verdict = judge(
            first,
            second,
            own,
            output,
            ask=screen.ask,
            queries=asked,
            hits=hits,
            seed=seed,
            show_progress_bar=True,
            pooling=pooling,
            device=device,
            backend=backend,
            dtype=dtype,
            trust_remote_code=trust_remote_code,
        )
    if not screen.left:
        err().print("all queries are judged or skipped")
    for line in verdict.lines():
        out().print(escaped(line))
    show_next(after_judging((first, second), output, pooling, trust_remote_code=trust_remote_code).command)


class Keyboard:
    """Keys one by one, those too that are pressed while a question is searched; as a context.

    click's ``getchar`` drops what was pressed before it is called.
    """

    def __enter__(self) -> Keyboard:
        import termios

        self._ahead = ""
        self._file = sys.stdin.fileno()
        self._lines = termios.tcgetattr(self._file)
        self._by_key()
        return self

    def __exit__(self, *_: object) -> None:
        self._by_line()

    def _by_key(self) -> None:
        import termios
        import tty

        tty.setcbreak(self._file, termios.TCSANOW)

    def _by_line(self) -> None:
        import termios

        termios.tcsetattr(self._file, termios.TCSANOW, self._lines)

    def key(self) -> str:
        """The next key; arrows and the like are passed over, and a terminal that is gone says q."""
        while not self._ahead:
            pressed = os.read(self._file, 64).decode(errors="ignore")
            if not pressed:
                return "q"
            if not pressed.startswith("\x1b"):
                self._ahead = pressed
        key, self._ahead = self._ahead[0], self._ahead[1:]
        return key

    def line(self, prompt: str) -> str:
        """A line that is typed; nothing at the end of the input."""
        self._by_line()
        try:
            return input(prompt).encode(errors="replace").decode()  # bytes that are not UTF-8 cannot be saved
        except EOFError:
            return ""
        finally:
            self._by_key()


class _Screen:
    """Shows a question until a key says something to it."""

    def __init__(self, keyboard: Keyboard) -> None:
        self.left = False  # by the key q
        self._keyboard = keyboard
        self._whole = False  # texts are shown to their end

    def ask(self, question: Question) -> JudgeKey:
        """What the next key that has a meaning says."""
        while True:
            self._show(question)
            key = self._keyboard.key()
            if key in PLACES[: len(question.hits)]:
                return PLACES.index(key)
            if key == "w":
                self._whole = not self._whole
            elif key in _STEPS:
                self.left = key == "q"
                return _STEPS[key]

    def _show(self, question: Question) -> None:
        from simcse_kit.cli.console import escaped, out

        console = out()
        console.clear()
        if question.number > 1:
            console.print(f"{escaped(question.verdict.lines()[-2])}\n", style="dim")
        console.print(f"[bold]{question.number}. {escaped(self._cut(question.query))}[/]\n")
        for place, text in enumerate(question.hits):
            marked = place in question.relevant
            mark, style = ("[green]✓[/]", "green") if marked else (" ", None)
            console.print(f"[dim]{PLACES[place]}[/] {mark} ", end="")
            console.print(escaped(self._cut(text)), style=style)
        last = PLACES[len(question.hits) - 1] if question.hits else ""
        console.print(f"\n1-{last} relevant or not   {_KEYS}", style="dim")

    def _cut(self, text: str) -> str:
        text = " ".join(text.split())
        return text if self._whole or len(text) <= _CUT else f"{text[:_CUT]} …"
