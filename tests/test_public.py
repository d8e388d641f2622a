"""The public names: imported on use, the same in the stub, and never hidden by a module."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import simcse_kit

STUB = ast.parse(Path(simcse_kit.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))


def test_the_stub_has_the_same_names_of_the_same_modules() -> None:
    homes = {
        alias.asname or alias.name: (node.module or "").removeprefix("simcse_kit.")
        for node in STUB.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert homes == simcse_kit._HOME
    (listed,) = (node.value for node in STUB.body if isinstance(node, ast.Assign))
    assert sorted(ast.literal_eval(listed)) == simcse_kit.__all__


@pytest.mark.parametrize("name", simcse_kit.__all__)
def test_every_name_is_there_and_described(name: str) -> None:
    thing = getattr(simcse_kit, name)
    assert thing is getattr(importlib.import_module(f"simcse_kit.{simcse_kit._HOME[name]}"), name)
    assert not inspect.ismodule(thing)
    assert not callable(thing) or thing.__doc__
    assert name in dir(simcse_kit)


def test_no_module_hides_a_public_name() -> None:
    """Importing ``simcse_kit.x`` sets the attribute x of the package, in place of a function of that name."""
    code = """
import importlib, pkgutil, sys, types
import simcse_kit
for module in pkgutil.walk_packages(simcse_kit.__path__, "simcse_kit."):
    if not module.name.endswith("__main__"):
        try:
            importlib.import_module(module.name)
        except ImportError as error:  # of an extra that is not installed
            assert not (error.name or "").startswith("simcse_kit"), error
print([name for name in simcse_kit.__all__ if isinstance(getattr(simcse_kit, name), types.ModuleType)])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_no_public_name_is_that_of_a_module() -> None:
    """The same, whatever is imported."""
    modules = {module.name for module in pkgutil.iter_modules(simcse_kit.__path__)}
    assert not modules & set(simcse_kit.__all__)


def test_what_the_commands_do_is_public() -> None:
    promised = {
        "add_files", "build_index", "cluster", "download_sts", "encode_files", "evaluate", "evaluate_klue_sts",
        "evaluate_mteb", "export_model", "judge", "make_report", "mine_pairs", "prepare_negatives", "prepare_nli",
        "prepare_sentences", "quickstart", "repeat_run", "serve", "train_seeds", "train_sup", "train_unsup",
    }  # fmt: skip
    assert promised <= set(simcse_kit.__all__)


def test_without_its_extra_the_server_names_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "importlib.util.find_spec",
        lambda name, find=importlib.util.find_spec: None if name == "fastapi" else find(name),
    )
    with pytest.raises(simcse_kit.MissingExtraError, match=r"pip install 'simcse-kit\[serve\]'"):
        simcse_kit.serve()


def test_the_server_is_there_without_its_extra() -> None:
    code = "import sys; sys.modules |= dict.fromkeys(('fastapi', 'uvicorn', 'prometheus_client')); import simcse_kit"
    done = subprocess.run([sys.executable, "-c", f"{code}; simcse_kit.serve"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
