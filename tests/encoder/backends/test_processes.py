"""Threads of the processes that encode together."""

from __future__ import annotations

import pytest
import torch

from simcse_kit.encoder.backends import processes
from simcse_kit.encoder.backends.processes import _threads_each


@pytest.mark.parametrize(
    ("threads", "cores", "on_cpu", "expected"),
    [(8, 8, 2, 4), (8, 8, 3, 2), (8, 2, 2, 1), (8, 1, 4, 1), (1, 8, 2, 1), (8, 8, 0, 8)],
)
def test_they_share_the_cores_and_threads_of_this_process(
    threads: int, cores: int, on_cpu: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(processes, "usable_cores", lambda: cores)
    assert _threads_each(on_cpu) == expected
