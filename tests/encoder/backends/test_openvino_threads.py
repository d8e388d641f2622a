"""Cores that OpenVINO uses: one for a short query, all for a few long texts and for many texts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from simcse_kit import SimCSE
from simcse_kit.cores import GRAIN
from simcse_kit.encoder.backends import openvino
from simcse_kit.encoder.speed.threads import products_of
from simcse_kit.encoder.tokens import TokenTable

pytest.importorskip("openvino")


@pytest.fixture(scope="module")
def model(tiny_model: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> SimCSE:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        return SimCSE(tiny_model("bert"), pooling="mean", backend="openvino")


def test_the_products_are_those_of_the_encoder(model: SimCSE) -> None:
    backbone = model.encoder.backbone
    assert model.backend._products == products_of(backbone) - products_of(backbone.pooler)  # not read by mean


@pytest.mark.parametrize(
    ("lengths", "tokens_for_a_core", "expected"),
    [([10], 10, False), ([11], 10, True), ([11, 11], 10, True), ([4, 3], 10, False), ([11] * 4, 10, False)],
)
def test_few_texts_of_much_work_take_all_cores(
    lengths: list[int], tokens_for_a_core: int, expected: bool, model: SimCSE, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino, "usable_cores", lambda: 4)
    monkeypatch.setattr(model.backend, "_products", GRAIN / tokens_for_a_core)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    table = TokenTable(np.ones(offsets[-1], np.int32), offsets, 0)
    assert model.backend._takes_all_cores(table) is expected


def test_both_ways_give_the_same_vectors(model: SimCSE, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["the cat", "a long text about the cat and the dog"]
    seen = []
    for all_cores in (True, False):
        monkeypatch.setattr(model.backend, "_takes_all_cores", lambda tokens, all_cores=all_cores: all_cores)
        seen.append(model.encode(texts))
    np.testing.assert_allclose(*seen, atol=1e-5)


def test_it_is_told_the_cores_of_the_process(model: SimCSE, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "usable_cores", lambda: 1)
    for hint in ("THROUGHPUT", "LATENCY"):
        assert model.backend._compiled(hint).get_property("INFERENCE_NUM_THREADS") == 1
