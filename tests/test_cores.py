"""Cores that a process may use: by affinity, and by a container's quota."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from simcse_kit import cores
from simcse_kit.cores import usable_cores


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "allowed_cores", lambda: 8)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)


def machine(root: Path, membership: str, **files: str) -> Path:
    """A folder that replaces ``/``. File names have only the last word, ``max`` is ``cpu.max``; ``__`` is a slash."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(membership)
    for name, text in files.items():
        *folders, last = name.split("__")
        file = root.joinpath("sys/fs/cgroup", *folders, {"max": "cpu.max"}.get(last, f"cpu.cfs_{last}_us"))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    return root


V1 = "4:memory:/docker/ab\n3:cpu,cpuacct:/docker/ab\n1:cpuset:/docker/ab\n"


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/\n", {"max": "max 100000"}, 8),
        ("0::/\n", {"max": "200000 100000"}, 2),
        ("0::/\n", {"max": "150000 100000"}, 2),
        ("0::/\n", {"max": "50000 100000"}, 1),
        ("0::/\n", {"max": "1600000 100000"}, 8),
        ("0::/\n", {"max": "no number"}, 8),
        ("0::/\n", {}, 8),
        ("", {}, 8),
        ("0::/a/b\n", {"a__max": "300000 100000", "a__b__max": "max 100000"}, 3),
        ("0::/a/b\n", {"a__max": "500000 100000", "a__b__max": "400000 100000", "c__max": "100000 100000"}, 4),
        ("0::/of/the/host\n", {"max": "100000 100000"}, 1),
        ("0::/a\n", {"unified__a__max": "100000 100000"}, 1),
        (V1, {"cpu,cpuacct__quota": "250000", "cpu,cpuacct__period": "100000"}, 3),
        (V1, {"cpu__docker__ab__quota": "100000", "cpu__docker__ab__period": "50000"}, 2),
        (V1, {"cpu__quota": "-1", "cpu__period": "100000"}, 8),
        (V1, {"cpu__quota": "100000", "cpu__period": "0"}, 8),
        (V1, {"memory__quota": "100000", "memory__period": "100000"}, 8),
    ],
)
def test_a_quota_counts_where_it_is_below_the_affinity(
    tmp_path: Path, membership: str, files: dict[str, str], expected: int
) -> None:
    assert usable_cores(machine(tmp_path, membership, **files)) == expected


def test_a_machine_without_cgroups(tmp_path: Path) -> None:
    assert usable_cores(tmp_path) == 8


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity here")
def test_a_process_on_one_core_may_use_one() -> None:
    code = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
    code += "from simcse_kit.cores import usable_cores; print(usable_cores())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"
