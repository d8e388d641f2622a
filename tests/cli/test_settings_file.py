"""Settings of the server: command line before environment before file; unknown ones raise an error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.commands import run

pytest.importorskip("fastapi")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Arguments of `serve`; nothing is served."""
    given: dict[str, Any] = {}
    monkeypatch.setattr("simcse_kit.serving.serve", lambda **settings: given.update(settings))
    return given


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "serve.toml"
    path.write_text(
        'targets = ["a", "n=b"]\nport = 1\nroot-path = "/file"\nallowed_host = ["x", "y"]\nwritable = true\n'
    )
    return path


def test_the_command_line_goes_before_the_environment_and_that_before_the_file(
    file: Path, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("serve", "--config", file).returncode == 0
    assert (asked["targets"], asked["port"], asked["root_path"], asked["writable"]) == (["a", "n=b"], 1, "/file", True)
    assert asked["allowed_hosts"] == ["x", "y"]
    assert asked["host"] == "127.0.0.1"
    monkeypatch.setenv("SIMCSE_KIT_SERVE_PORT", "2")
    monkeypatch.setenv("SIMCSE_KIT_SERVE_TARGETS", "c d")
    monkeypatch.setenv("SIMCSE_KIT_SERVE_CONFIG", str(file))
    run("serve")
    assert (asked["targets"], asked["port"], asked["root_path"]) == (["c", "d"], 2, "/file")
    run("serve", "e", "--port", 3)
    assert (asked["targets"], asked["port"], asked["root_path"]) == (["e"], 3, "/file")


def test_a_misspelt_variable_is_said(asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMCSE_KIT_SERVE_PROT", "1")
    done = run("serve", "a")
    assert "SIMCSE_KIT_SERVE_PROT is not an option of this command; did you mean SIMCSE_KIT_SERVE_PORT?" in done.stderr
    assert asked["port"] == 8000
    monkeypatch.delenv("SIMCSE_KIT_SERVE_PROT")
    assert run("serve", "a").stderr == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 1", "serve.toml: prot is not an option of this command; did you mean port?"),
        ("config = 'x'", "serve.toml: config is not an option of this command"),
        ("[serve]\nport = 1", "serve.toml: serve is not an option of this command"),
        ("port = true", "serve.toml: port takes one text or number; got True"),
        ("writable = 'yes'", "serve.toml: writable takes true or false; got 'yes'"),
        ("allowed-host = 'x'", "serve.toml: allowed-host takes a list of strings"),
        ("port = ", "serve.toml cannot be read: "),
    ],
)
def test_what_a_file_may_not_say_is_an_error_by_name(
    text: str, said: str, file: Path, asked: dict[str, Any], tmp_path: Path
) -> None:
    file.write_text(text)
    done = run("serve", "a", "--config", file)
    assert done.returncode == 1
    assert said in done.stderr
    assert not asked
    assert "none.toml cannot be read" in run("serve", "a", "--config", tmp_path / "none.toml").stderr


def test_a_value_of_the_file_is_checked_like_one_of_the_command_line(file: Path, asked: dict[str, Any]) -> None:
    file.write_text("port = 65536\nlog-format = 'json'")
    done = run("serve", "a", "--config", file)
    assert done.returncode == 2
    assert "--port" in done.stderr
    assert not asked
