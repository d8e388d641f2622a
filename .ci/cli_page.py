"""Write examples/cli.md: every command of ``simcse-kit`` with its help, its examples and all of its options.

    python .ci/cli_page.py [--output examples/cli.md]

All words come from the commands. An option that stands in every command, in every command of a group, or alike in
several commands is described once.
"""

from __future__ import annotations

import argparse
import inspect
import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from typer.main import get_command

from simcse_kit.cli import app

PAGE = Path(__file__).parents[1] / "examples" / "cli.md"
PROGRAM = "simcse-kit"
WIDTH = 120  # columns of prose
SEVERAL = 4  # commands from which on an option that they describe alike is described once
ARGUMENT = "argument"  # panel of those
NOT_RUN = "<!-- not run: an example of the help, with files of the reader -->"
KINDS = {  # what a value is, by the name of its type
    "str": "text",
    "list[str]": "texts",
    "path": "path",
    "int": "integer",
    "int range": "integer",
    "float": "number",
    "float range": "number",
}
ABOUT = f"""This page lists every command of `{PROGRAM}` with its arguments and options. It is made of the help of the
commands: `{PROGRAM} COMMAND --help` prints the same in a terminal. The guides show the commands at work; the
[README](../README.md#what-it-does) names the guide of each task."""
COLUMNS = """In the tables, *value* is what to give: words in code are the choices or stand for a name, *flag* takes no
value, and two names (`--header`, `--no-header`) turn something on and off. *Default* is what happens without the
option; an empty cell means that the option is off or has no value."""


class Row(NamedTuple):
    """A parameter in a table."""

    name: str  # as it is typed; all of its names
    value: str
    default: str
    what: str
    panel: str  # heading of its group in the help


class Section(NamedTuple):
    """A further part of a help: names with what they mean, or lines such as examples."""

    title: str
    rows: tuple[tuple[str, str], ...]
    lines: tuple[str, ...]

    @property
    def names(self) -> set[str]:
        """What the rows describe."""
        return {name for name, _ in self.rows}


class Command(NamedTuple):
    """A command or a group of commands."""

    path: str  # as it is typed
    text: str  # its help
    short: str
    usage: str
    rows: tuple[Row, ...]
    sections: tuple[Section, ...]  # beside the parameters
    inner: tuple[Command, ...]  # of a group


def describe(command: Any, path: str, parent: Any = None) -> Command:
    """Texts of a typer command."""
    name = path.rpartition(" ")[2]
    context = command.context_class(command, info_name=name, parent=parent, terminal_width=10_000)
    named = [(inner, command.commands[inner]) for inner in getattr(command, "list_commands", lambda _: ())(context)]
    records = [(one, record) for one in command.get_params(context) if (record := one.get_help_record(context))]
    known = {record[0] for _, record in records} | {inner for inner, _ in named}
    return Command(
        path=path,
        text=inspect.cleandoc(command.help or ""),
        short=command.short_help or "",
        usage=command.get_usage(context).partition(" ")[2],
        rows=tuple(_row(one, *record) for one, record in records),
        sections=tuple(one for one in _sections(command, context) if one.lines or one.names - known),
        inner=tuple(describe(inner, f"{path} {word}", context) for word, inner in named if not inner.hidden),
    )


def _sections(command: Any, context: Any) -> list[Section]:
    """All that a command writes below its text."""
    found: list[tuple[str, list[tuple[str, str]], list[str]]] = []

    class Recorder(context.formatter_class):  # type: ignore[misc]
        @contextmanager
        def section(self, name: str) -> Iterator[None]:
            found.append((name, [], []))
            yield

        def write_dl(self, rows: Sequence[tuple[str, str]], *_: Any, **__: Any) -> None:
            found[-1][1].extend(rows)

        def write(self, string: str) -> None:
            if found and string.strip():
                found[-1][2].append(string.strip())

    recorder = Recorder()
    command.format_options(context, recorder)
    command.format_epilog(context, recorder)
    return [Section(title, tuple(rows), tuple(lines)) for title, rows, lines in found]


def _row(parameter: Any, names: str, text: str) -> Row:
    """One line of the help: ``-k, --top-k <int range>`` and ``Hits.  [default: 5; x>=1]``."""
    found = re.fullmatch(r"(?P<help>.*?)(?:\s+\[(?P<extras>[^\[\]]*)\])?", text, re.S)
    assert found is not None
    extras = [extra for extra in (found["extras"] or "").split("; ") if extra]
    default, help_ = _default(" ".join(found["help"].split()))
    limits = []
    for extra in extras:
        kind, colon, value = extra.partition(": ")
        if kind == "default":
            default = f"`--{value}`" if getattr(parameter, "is_flag", False) else f"`{value}`"
        elif kind == "env var":
            help_ += f" Environment variable: {value}."
        elif kind == "required":
            default = "required"
        elif not colon:
            limits.append(extra)
    if parameter.param_type_name == "argument":
        name, _, kind = names.partition(" ")
        typed, panel = f"`{name}`", ARGUMENT
    else:
        kind = "" if parameter.is_flag else re.sub(r"^(?:--?[\w-]+[,;/ ]*)+", "", names)
        typed = ", ".join(f"`{one}`" for one in (*parameter.opts, *parameter.secondary_opts))
        panel = getattr(parameter, "rich_help_panel", None) or "option"
    return Row(typed, _value(kind, limits), default, _prose(help_), panel)


def _default(text: str) -> tuple[str, str]:
    """The default that a help names in its words, and the rest of the help."""
    every = [*re.finditer(r"\s*\bDefault: (?P<default>.+?)\.(?=\s+[A-Z]|$)", text)]
    if len(every) != 1 or text.count("Default: ") != 1:
        return "", text
    found = every[0]
    return _prose(found["default"]), f"{text[: found.start()]}{text[found.end() :]}".strip()


def _value(kind: str, limits: Sequence[str]) -> str:
    """What an option takes: its choices, the name of its value, or the type."""
    if not kind:
        return "flag"
    bare = kind.removeprefix("<").removesuffix(">")
    if bare in KINDS:
        shown = KINDS[bare]
    elif kind != bare and "|" in bare:
        shown = ", ".join(f"`{choice}`" for choice in bare.split("|"))
    else:
        shown = f"`{kind}`"
    return " ".join([shown, *(f"({limit.replace('<=', ' ≤ ').replace('>=', ' ≥ ')})" for limit in limits)])


def _prose(text: str) -> str:
    """Words of the help as Markdown: names of options in code, nothing else with a meaning."""
    parts = re.split(r"(?<![\w-])(--[a-z][\w-]*)", text)
    plain = [re.sub(r"([*<\\`])", r"\\\1", part) for part in parts[::2]]
    codes = [f"`{part}`" for part in parts[1::2]] + [""]
    return "".join(word for pair in zip(plain, codes, strict=True) for word in pair)


def all_of(command: Command) -> Iterator[Command]:
    """A command and those within it, in order."""
    yield command
    for inner in command.inner:
        yield from all_of(inner)


def leaves(command: Command) -> list[Command]:
    """The commands that do something."""
    return [one for one in all_of(command) if not one.inner]


def in_all(commands: Sequence[Command]) -> list[Row]:
    """Rows that each of several commands has, in the order of the first."""
    sets = [set(one.rows) for one in commands]
    return [row for row in commands[0].rows if all(row in rows for rows in sets)] if len(commands) > 1 else []


def in_several(commands: Iterable[Command]) -> list[Row]:
    """Options with the same text in several commands, in their order; for each name the most common text."""
    counted = Counter(row for one in commands for row in one.rows if row.panel != ARGUMENT)
    common = {row.name: row for row, _ in reversed(counted.most_common())}
    return [row for row, count in counted.items() if count >= SEVERAL and common[row.name] is row]


def page(root: Command) -> str:
    """The whole page."""
    everywhere = in_all(leaves(root))
    several = [row for row in in_several(leaves(root)) if row not in everywhere]
    first = leaves(root)[0]
    parts = [
        "# Commands and options",
        *_wrapped(ABOUT),
        f"```bash\n{first.path} --help\n```",
        f"<!-- output -->\n```text\nUsage: {first.usage}\n...\n```",
        *_wrapped(COLUMNS),
        f"## {PROGRAM}",
        *_described(root),
        "\n".join(
            _table(
                ["command", "what it does"],
                [(f"[`{one.path}`](#{_anchor(one)})", _first(one)) for one in all_of(root) if one is not root],
            )
        ),
        *_tables([row for row in root.rows if row not in everywhere]),
        "## Options of every command",
        f"They stand before the name of the command or after it: `{PROGRAM} --quiet COMMAND` or "
        f"`{PROGRAM} COMMAND --quiet`.",
        *_tables(everywhere, panels=False),
    ]
    if several:
        parts += [
            "## Options of several commands",
            "The sections below name these options where a command has them.",
            *_tables(several, panels=False),
        ]
    shown: dict[Section, Command] = {}
    for inner in root.inner:
        parts += _section(inner, 2, everywhere, several, shown)
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(
    command: Command, level: int, everywhere: list[Row], several: list[Row], shown: dict[Section, Command]
) -> Iterator[str]:
    """A command; of a group the options that all of its commands share, then each of these."""
    yield f"{'#' * level} {command.path}"
    yield from _described(command)
    yield f"Usage: `{command.usage}`"
    yield from _tables([row for row in command.rows if row not in (*everywhere, *several)])
    also = [row for row in several if row in command.rows]
    if also:
        names = ", ".join(row.name for row in also)
        yield from _wrapped(f"Also: {names}; described [above](#options-of-several-commands).")
    for section in command.sections:
        first = shown.setdefault(section, command)
        if section.rows and first is command:
            yield "\n".join(
                _table([section.title, "what"], [(f"`{name}`", _prose(what)) for name, what in section.rows])
            )
        elif section.rows:
            yield f"{section.title}: described at [{first.path}](#{_anchor(first)})."
    shared = [row for row in in_all(command.inner) if row not in (*everywhere, *several)]
    if shared:
        yield f"{'#' * (level + 1)} Options of all {command.path} commands"
        yield from _tables(shared)
    for inner in command.inner:
        yield from _section(inner, level + 1, [*everywhere, *shared], several, shown)


def _described(command: Command) -> Iterator[str]:
    """The help: its paragraphs, lines that stay as they are in a block, and its examples in one block."""
    examples: list[str] = []
    for paragraph in re.split(r"\n\s*\n", command.text):
        kept = paragraph.lstrip().startswith("\b")
        lines = [line for line in paragraph.splitlines() if line.strip("\b ")]
        if lines and re.match(r"\s*Examples?:", lines[0]):
            examples += _examples(lines)
        elif kept:
            yield from _block(lines)
        elif lines:
            yield from _wrapped(_prose(" ".join(line.strip() for line in lines)))
    examples += [line for section in command.sections if not section.rows for line in section.lines]
    if examples:
        yield from _block(examples)


def _examples(lines: Iterable[str]) -> Iterator[str]:
    """The commands behind ``Example:``; a line that is neither joins the line before."""
    whole = ""
    for line in (line.strip() for line in lines):
        text = re.sub(r"^Examples?:\s*", "", line)
        if whole and (text != line or text.startswith(f"{PROGRAM} ")) and not whole.endswith("\\"):
            yield whole
            whole = ""
        whole = f"{whole.removesuffix(chr(92)).rstrip()} {text}".strip()
    if whole:
        yield whole


def _block(lines: Iterable[str]) -> Iterator[str]:
    text = textwrap.dedent("\n".join(lines))
    shell = text.startswith((PROGRAM, "torchrun"))
    yield f"{NOT_RUN}\n```bash\n{text}\n```" if shell else f"```text\n{text}\n```"


def _tables(rows: Sequence[Row], *, panels: bool = True) -> Iterator[str]:
    """A table for each group of the help."""
    for panel in dict.fromkeys(row.panel if panels else "option" for row in rows):
        own = [row[:4] for row in rows if not panels or row.panel == panel]
        yield "\n".join(_table([panel, "value", "default", "what"], own))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "| --- " * len(head) + "|"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


def _wrapped(text: str) -> Iterator[str]:
    yield textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def _first(command: Command) -> str:
    """What a command does, in one line."""
    return _prose(command.short or " ".join(re.split(r"\n\s*\n", command.text)[0].split()))


def _anchor(command: Command) -> str:
    return command.path.replace(" ", "-")


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=PAGE, help="The page.")
    output: Path = parser.parse_args().output
    root = describe(get_command(app), PROGRAM)
    output.write_text(page(root), encoding="utf-8")
    print(f"{output}: {len(leaves(root))} commands")


if __name__ == "__main__":
    main()
