"""Tables: at most 100 columns on a terminal, whole lines for a pipe."""

from __future__ import annotations

import os
import pty
import struct
import subprocess
import termios
from collections.abc import Callable
from fcntl import ioctl
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from simcse_kit import SentenceIndex, SimCSE
from simcse_kit.cli.console import facts, table
from simcse_kit.cli.fitting import narrowed
from support.commands import COMMAND, Done, run

LONG = "The card that the bank sent to my old address two weeks ago never came, and the app says that it did. "


@pytest.fixture(scope="module")
def folder(tiny_model: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model and an index of long texts, each with a field of many values with long names, and data to measure on."""
    made = tmp_path_factory.mktemp("a folder whose name alone is longer than the column that a table has for it")
    SimCSE(tiny_model("bert"), pooling="mean", device="cpu").save(made / "model")
    texts = [f"{LONG * (1 + n % 4)} {n}" for n in range(30)]
    fields = [{"topic": f"cards and accounts number {n % 13}"} for n in range(30)]
    SentenceIndex.build(made / "model", texts, metadata=fields).save(made / "index")
    pairs = [f"{texts[n]}\t{texts[n + 1]}\t{n % 6}" for n in range(20)]
    (made / "pairs.tsv").write_text("\n".join(["sentence1\tsentence2\tscore", *pairs]))
    (made / "labels.tsv").write_text("\n".join(["text\tlabel", *(f"{text}\t{n % 3}" for n, text in enumerate(texts))]))
    (made / "texts.txt").write_text("\n".join(texts))
    return made


COMMANDS = """
recipes
objectives
objectives simcse
search index card -k 5
index info index
cluster index -k 3 --cross-tab topic
mine index --threshold -1
mine index --threshold -1 --groups
eval model model --suite pairs,labels,geometry --data pairs=pairs.tsv --data labels=labels.tsv --data geometry=pairs.tsv
eval model --suite labels --data labels.tsv --details
encode model texts.txt vectors.npy --overwrite
"""


@pytest.mark.parametrize("line", COMMANDS.strip().splitlines())
def test_what_a_terminal_shows_fits_it(line: str, folder: Path) -> None:
    def lines_of(done: Done) -> list[str]:
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    piped = lines_of(run(*line.split(), cwd=folder))
    for columns, most in ((100, 100), (80, 80), (240, 100)):
        shown = lines_of(run(*line.split(), cwd=folder, terminal=columns))
        prose = {one.rstrip() for one in piped}  # is not wrapped: the terminal does it
        assert [one for one in shown if cell_len(one.rstrip()) > most and one.rstrip() not in prose] == []
        assert len(shown) >= len(piped)


def test_a_real_terminal_is_asked_for_its_width() -> None:
    master, terminal = pty.openpty()
    ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 90, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"} | {"NO_COLOR": "1"}
    with subprocess.Popen([*COMMAND, "recipes"], stdin=terminal, stdout=terminal, env=environment) as process:
        os.close(terminal)
        shown = b""
        try:
            while read := os.read(master, 1 << 16):
                shown += read
        except OSError:  # the other end is closed
            pass
    os.close(master)
    assert process.returncode == 0
    lines = [Console().render_str("").from_ansi(line.rstrip()).plain for line in shown.decode().splitlines()]
    widths = [cell_len(line) for line in lines[:-1]]  # the last one is prose
    assert 80 < max(widths) <= 90


def test_numbers_stay_whole_and_texts_wrap_between_words() -> None:
    console = Console(width=60, soft_wrap=True)
    made = table(["name", *(f"score {n}" for n in range(6))], [["a model with a long name", *["-12.34"] * 6]])
    with console.capture() as shown:
        console.print(made)
    assert shown.get().count("-12.34") == 6
    assert "score 0" not in shown.get()
    assert shown.get().count("score") == 6
    with console.capture() as shown:
        console.print(facts([("texts", "card " * 30)]))
    assert {word for line in shown.get().splitlines() for word in line.split()} == {"texts", "card"}


@pytest.mark.parametrize("total", range(3, 40))
def test_widths_are_narrowed_to_what_there_is(total: int) -> None:
    found = narrowed([20, 5, 12], [(16, 1), (5, 1), (8, 1)], total)
    assert sum(found) == min(total, 37)
    assert found[1] == 5 or found[0] < 16  # the floors of the first round hold as long as they can
