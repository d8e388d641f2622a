"""An index with a user's own kind: commands run its code only with --trust-remote-code."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from simcse_kit import SearchIndexError, cluster, mine_pairs
from support.commands import run

COMMANDS = {
    "search": ["search", "{index}", "A cat.", "-k", "1"],
    "add": ["index", "add", "{index}", "{file}", "--columns", "text"],
    "delete": ["index", "delete", "{index}", "3"],
    "info": ["index", "info", "{index}"],
    "verify": ["index", "verify", "{index}"],
    "compact": ["index", "compact", "{index}"],
    "compact by queries": ["index", "compact", "{index}", "--queries", "{index}.txt"],
    "mine": ["mine", "{index}"],
    "cluster": ["cluster", "{index}", "-k", "2"],
}


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the kind's module, which is not imported yet; the path is restored."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    sys.modules.pop("own_kind", None)
    yield Path(__file__).parents[1] / "search"
    sys.modules.pop("own_kind", None)


@pytest.fixture(scope="module")
def built(model_folder: Path, sentences: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """index/ with the kind, made by the command; its next step names the option."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "index.txt").write_text("\n".join(sentences) + "\n", encoding="utf-8")
    (folder / "more.csv").write_text("text\nA new sentence.\n", encoding="utf-8")
    before = list(sys.path)
    done = run(
        "index", "build", model_folder, folder / "index.txt", folder / "index", "--kind", "own_kind:KIND",
        cwd=Path(__file__).parents[1] / "search",
    )  # fmt: skip
    sys.path[:] = before
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("--trust-remote-code")
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_runs_the_kinds_code_only_where_it_is_told_to(
    command: str, built: Path, here: Path, tmp_path: Path
) -> None:
    shutil.copytree(built, tmp_path / "own")
    places = {"index": tmp_path / "own" / "index", "file": tmp_path / "own" / "more.csv"}
    arguments = [word.format(**places) for word in COMMANDS[command]]
    done = run(*arguments, cwd=here)
    assert done.returncode == 1
    said = " ".join(done.stderr.split())
    assert "own_kind:KIND is code outside this package" in said
    assert "(--trust-remote-code)" in said
    assert "own_kind" not in sys.modules
    done = run(*arguments, "--trust-remote-code", cwd=here)
    assert done.returncode == 0, done.stderr
    assert "own_kind" in sys.modules


def test_so_do_the_public_functions(built: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here)
    with pytest.raises(SearchIndexError, match="trust_remote_code"):
        mine_pairs(built / "index")
    with pytest.raises(SearchIndexError, match="trust_remote_code"):
        cluster(built / "index", 2)
    assert "own_kind" not in sys.modules
    assert len(cluster(built / "index", 2, trust_remote_code=True).clusters) == 2
    assert mine_pairs(built / "index", trust_remote_code=True).full == 0


@pytest.mark.parametrize("command", [["serve"], ["demo", "--no-browser"]])
def test_so_do_the_servers(command: list[str], built: Path, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fastapi")
    from support.server import only_loading

    served = only_loading(monkeypatch)
    done = run(*command, built / "index", "--port", "0", cwd=here)
    assert done.returncode == 1
    assert "(--trust-remote-code)" in " ".join(done.stderr.split())
    assert "own_kind" not in sys.modules
    done = run(*command, built / "index", "--port", "0", "--trust-remote-code", cwd=here)
    assert done.returncode == 0, done.stderr
    assert len(served) == 1
