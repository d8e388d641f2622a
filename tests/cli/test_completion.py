"""Shell completion: its candidates, how little it imports, and the script for bash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from typer.main import get_command

from simcse_kit import SentenceIndex, SimCSE
from simcse_kit.cli import app, completion

MAIN = "import sys; sys.argv[0] = 'simcse-kit'; from simcse_kit.cli import main; main()"


@pytest.fixture
def place(model: SimCSE, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an index, a model in a folder, others that are neither, and one whose name needs quotes."""
    index = SentenceIndex.build(model, ["a", "b"], metadata=[{"lang": "en", "year": 1}, {"lang": "de", "odd key": 2}])
    for name in ("tickets-index", "two words"):
        index.save(tmp_path / name)
    for name in ("models/mine", "empty/below", ".hidden"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("models/mine", ".hidden"):
        (tmp_path / name / "modules.json").write_text("[]")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def offered(shell: str, line: str, home: Path | None = None) -> list[str]:
    """Output of the command's completion in a new process."""
    words = line.split(" ")
    asked = {"_SIMCSE_KIT_COMPLETE": f"complete_{shell}"}
    asked |= {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    asked |= {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    done = subprocess.run([sys.executable, "-c", MAIN], env=os.environ | asked, capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout.split()


def values(option: str, *path: str, begun: str = "", arguments: tuple[str, ...] = ()) -> list[str]:
    """Candidates for a parameter of a command, after some arguments."""
    command = get_command(app)
    for name in path:
        command = command.commands[name]  # type: ignore[attr-defined]
    parameter = next(one for one in command.params if option in (*one.opts, one.name))
    context = click.Context(click.Command("x"))
    context.args = [*arguments]  # type: ignore[misc]
    return [item.value for item in parameter.shell_complete(context, begun)]  # type: ignore[arg-type]


def test_folders_of_models_and_indexes_are_offered(place: Path) -> None:
    assert values("index", "search") == ["tickets-index"]
    assert values("index", "index", "add", begun="tick") == ["tickets-index"]
    assert values("model", "encode") == values("model", "index", "build", begun="models/") == ["models/mine"]
    assert values("--model", "train", "unsup", begun="mod") == ["models/mine"]
    assert values("targets", "serve") == ["models/mine", "tickets-index"]
    assert values("model", "encode", begun=f"{place}/mod") == [f"{place}/models/mine"]
    assert values("model", "encode", begun=".h") == [".hidden"]
    assert values("index", "search", begun="none/") == values("index", "search", begun="x") == []


def test_a_home_is_found_and_stays_as_it_was_typed(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(place))
    assert values("index", "search", begun="~/t") == ["~/tickets-index"]


def test_a_large_folder_is_not_read_to_its_end(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion, "_LOOKED_AT", 0)
    assert values("index", "search") == []


def test_fields_of_the_index_are_offered(place: Path) -> None:
    there = ("tickets-index", "new.csv")
    assert values("--metadata-columns", "index", "add", arguments=there) == ["lang", "year"]
    assert values("--metadata-columns", "index", "add", begun="year,l", arguments=there) == ["year,lang"]
    assert values("--filter", "search", arguments=there) == ['\'{"lang":', '\'{"year":']
    assert values("--filter", "search", begun='{"y', arguments=there) == ['{"year":']


@pytest.mark.parametrize("index", ["", "none", "empty", "milvus:", "milvus:http://host/x", "damaged"])
def test_no_index_has_no_fields(index: str, place: Path) -> None:
    (place / "damaged").mkdir()
    (place / "damaged" / "manifest.json").write_text("{")
    assert values("--filter", "search", arguments=(index,)) == []
    assert values("--filter", "search") == []


@pytest.mark.parametrize(
    ("shell", "line", "expected"),
    [
        ("bash", "simcse-kit search tickets-index q --filter ", ['\'{"lang":', '\'{"year":']),
        ("bash", "simcse-kit --threads 2 search none q --backend op", ["openvino"]),
        ("zsh", "simcse-kit search tick", ["_arguments", "'*:", ':(("tickets-index"))\'']),
        ("fish", "simcse-kit encode mod", ["models/mine"]),
    ],
)
def test_each_shell_gets_its_answer(shell: str, line: str, expected: list[str], place: Path) -> None:
    assert offered(shell, line) == expected


def test_completion_loads_nothing_heavy(place: Path) -> None:
    code = f"import atexit, sys; atexit.register(lambda: sys.stderr.write(' '.join(sys.modules))); {MAIN}"
    line = "simcse-kit search tickets-index q --filter "
    asked = {"_SIMCSE_KIT_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": "5"}
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | asked, capture_output=True, text=True)
    assert "lang" in done.stdout
    heavy = {"torch", "transformers", "faiss", "sklearn", "scipy", "fastapi", "httpx", "datasets", "tqdm"}
    assert not heavy & set(done.stderr.split())


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize("command", ["simcse-kit", "python -m simcse_kit"])
def test_bash_runs_what_install_completion_writes(command: str, place: Path, tmp_path: Path) -> None:
    """The command is found by its name on the PATH, independent of how the installation was started."""
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "simcse-kit"
    program.write_text(f"#!/bin/sh\nexec '{sys.executable}' -m simcse_kit \"$@\"\n")
    program.chmod(0o755)
    install = f"{command.replace('python', sys.executable)} --install-completion"
    typed = "COMP_WORDS=(simcse-kit search tick) COMP_CWORD=2; _simcse_kit_completion simcse-kit"
    script = (
        f'{install} >&2\nsource "$HOME/.bashrc"\n{typed}\nprintf "%s\\n" "${{COMPREPLY[@]}}"; complete -p simcse-kit'
    )
    here = {"HOME": str(tmp_path), "PATH": f"{programs}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], env=os.environ | here, capture_output=True, text=True, cwd=place)
    assert done.stdout.splitlines()[0] == "tickets-index", done.stderr
    assert "complete -o default -F _simcse_kit_completion simcse-kit" in done.stdout
