"""Thread settings that the command puts into the environment, and those it does not change."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from simcse_kit.cli import threads
from simcse_kit.cli.threads import thread_settings

WAITING = {"GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OPENBLAS_THREAD_TIMEOUT"}


@pytest.fixture(autouse=True)
def of_two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "allowed_cores", lambda: 2)
    monkeypatch.setattr(threads, "usable_cores", lambda: 2)


def test_threads_wait_shortly() -> None:
    assert set(thread_settings({})) == WAITING


@pytest.mark.parametrize("name", sorted(WAITING))
def test_what_the_user_has_set_stays(name: str) -> None:
    assert set(thread_settings({name: "7"})) == WAITING - {name}


def test_the_users_wait_policy_is_for_all_kinds_of_openmp() -> None:
    assert set(thread_settings({"OMP_WAIT_POLICY": "ACTIVE"})) == {"OPENBLAS_THREAD_TIMEOUT"}


def test_a_quota_says_how_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "usable_cores", lambda: 1)
    assert thread_settings({})["OMP_NUM_THREADS"] == "1"
    assert "OMP_NUM_THREADS" not in thread_settings({"OMP_NUM_THREADS": "2"})


def _names_after(code: str) -> set[str]:
    """Thread variables of a new process, which had none, after some code."""
    code = f"import os, sys; sys.argv = ['simcse-kit', '--version']\ntry:\n    {code}\nfinally:\n    print(*os.environ)"
    given = {name: value for name, value in os.environ.items() if name not in {*WAITING, "OMP_WAIT_POLICY"}}
    done = subprocess.run([sys.executable, "-c", code], env=given, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split()) & WAITING


def test_the_command_sets_them() -> None:
    assert _names_after("from simcse_kit.cli import main; main()") == WAITING


def test_importing_the_package_sets_nothing() -> None:
    assert _names_after("import simcse_kit, simcse_kit.cli, simcse_kit.cores") == set()
