"""Little work runs on few threads; the rest of the process keeps its threads."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from simcse_kit import SimCSE
from simcse_kit.cores import GRAIN
from simcse_kit.encoder.backends import torch as torch_backend
from simcse_kit.encoder.known import packaged_minilm
from simcse_kit.encoder.speed import plain, threads
from simcse_kit.encoder.speed.threads import products_of, threads_for


@pytest.fixture(autouse=True)
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("work", "expected"), [(0, 1), (1, 1), (GRAIN, 1), (GRAIN + 1, 2), (3 * GRAIN, 3), (99 * GRAIN, 4)]
)
def test_a_thread_for_each_grain_of_work(work: int, expected: int) -> None:
    with threads_for(work):
        assert torch.get_num_threads() == expected
    assert torch.get_num_threads() == 4


def test_what_the_user_has_set_is_the_most() -> None:
    torch.set_num_threads(2)
    with threads_for(99 * GRAIN):
        assert torch.get_num_threads() == 2


def test_other_threads_keep_theirs() -> None:
    seen: list[int] = []
    with threads_for(1):
        other = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        other.start()
        other.join()
    assert seen == [4]


def test_an_error_gives_the_threads_back() -> None:
    with pytest.raises(OSError, match="x"), threads_for(1):
        raise OSError("x")
    assert torch.get_num_threads() == 4


def test_a_table_is_looked_up_not_multiplied() -> None:
    model = torch.nn.Sequential(torch.nn.Embedding(1000, 8), torch.nn.Linear(8, 3), torch.nn.LayerNorm(3))
    assert products_of(model) == 24


def test_a_query_takes_one_thread_and_many_texts_take_all(
    tiny_model: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = SimCSE(tiny_model("bert"), pooling="mean", device="cpu")
    texts = [f"the cat {number}" for number in range(64)]
    seen: list[int] = []

    @contextmanager
    def seeing(work: int) -> Iterator[None]:
        with threads_for(work):
            seen.append(torch.get_num_threads())
            yield

    monkeypatch.setattr(torch_backend, "threads_for", seeing)
    tokens = len(model.tokenize(texts).flat)
    monkeypatch.setattr(threads, "GRAIN", tokens * products_of(model.encoder.backbone) // 4)
    model.encode(texts[0])
    model.encode(texts)
    with plain():
        model.encode(texts[0])
    assert seen == [1, 4]


FORKED = """
import multiprocessing, sys
import numpy as np
import torch
from simcse_kit import SimCSE
from simcse_kit.search import Collection

torch.set_num_threads(2)
model = SimCSE(sys.argv[1], pooling="mean", device="cpu")
texts = [f"The harbour was quiet before the storm arrived. {i} " * 5 for i in range(40)]
expected = model.encode(texts)
index = Collection(expected.shape[1], "flat")
index.add([str(i) for i in range(2000)], np.random.default_rng(0).normal(size=(2000, expected.shape[1])))
found = index.search(expected, 5)

def work(_):
    assert index.search(expected, 5) == found
    return model.encode(texts)

with multiprocessing.get_context("fork").Pool(2) as pool:
    vectors = pool.map_async(work, range(4)).get(timeout=40)
assert all(abs(one - expected).max() < 1e-5 for one in vectors)
"""


@pytest.mark.slow
def test_a_forked_process_encodes_and_searches() -> None:
    """As under gunicorn with a model that was loaded before."""
    done = subprocess.run([sys.executable, "-c", FORKED, str(packaged_minilm())], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
