"""Selects the tests that run, and writes the last lines of a run."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import tempfile
import tomllib
from collections.abc import Generator
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

if "PYTEST_XDIST_WORKER" in os.environ:  # one core per worker, and per process that it starts
    os.environ["OMP_NUM_THREADS"] = "1"
else:  # a run starts with empty caches, as on a new machine; its workers share them
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="simcse-kit-tests-")
    atexit.register(shutil.rmtree, os.environ["XDG_CACHE_HOME"], ignore_errors=True)

collect_ignore_glob = [] if find_spec("fastapi") else ["simcse_kit/serving/*"]  # their doctests need the extra serve
_LEFT_OUT = pytest.StashKey[list[str]]()


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One process for a single named file or test: it ends before a second process would have started."""
    named = [name.partition("::")[0] for name in config.args]
    return 0 if len(set(named)) == 1 and named[0].endswith(".py") else min(4, os.cpu_count() or 1)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--slow``, which runs every test."""
    parser.addoption("--slow", action="store_true", help="run every test; `-m slow` runs only the slow ones")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the slow tests, unless ``--slow``, ``-m`` or the name of a test is given."""
    if config.getoption("--slow") or config.option.markexpr or any("::" in name for name in config.args):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    items[:] = [item for item in items if not item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    config.stash[_LEFT_OUT] = [item.nodeid for item in slow]


def pytest_collection_finish() -> None:
    """Freeze the objects of the imports: the garbage collector would scan millions of them repeatedly."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send the tests that an xdist worker left out to the process that writes the summary."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = session.config.stash.get(_LEFT_OUT, [])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Every worker collects every test, so one list is enough."""
    node.config.stash[_LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", [])


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> Generator[None]:
    """List what did not run: missing extras, and slow tests by file."""
    yield
    missing = missing_extras(config.rootpath / "pyproject.toml")
    if missing:
        terminalreporter.write_line(f"extras not installed, so not tested: {', '.join(missing)}")
    left_out = config.stash.get(_LEFT_OUT, [])
    if left_out:
        counts: dict[str, int] = {}
        for name in left_out:
            file = name.partition("::")[0]
            counts[file] = counts.get(file, 0) + 1
        terminalreporter.write_line(f"{len(left_out)} slow tests left out; `pytest --slow` runs them:")
        for file, count in counts.items():
            terminalreporter.write_line(f"  {count:>3}  {file}")


def missing_extras(pyproject: Path) -> list[str]:
    """Extras of the package with a requirement that is not installed."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    extras = {name: map(Requirement, needs) for name, needs in project["optional-dependencies"].items()}
    return [
        name
        for name, needs in extras.items()
        if name != "all"
        and not all(_installed(need) for need in needs if need.marker is None or need.marker.evaluate())
    ]


def _installed(need: Requirement) -> bool:
    try:
        distribution(need.name)
    except PackageNotFoundError:
        return False
    return True
