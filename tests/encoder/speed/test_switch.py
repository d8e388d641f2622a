"""Training and encoding give the same results with and without speed-ups; no import changes torch or transformers."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertModel

from simcse_kit import SimCSE, TrainListener, TrainPlan, train_sup
from simcse_kit.encoder.speed import dropout, is_plain, plain
from simcse_kit.encoder.speed.compiled import compiled
from simcse_kit.encoder.speed.packed import can_pack

ModelFolder = Callable[[str], Path]
SMALLEST = 1 / 65536  # dropout probability
pytestmark = pytest.mark.filterwarnings("ignore::simcse_kit.errors.Notice")


class Speedups(TrainListener):
    names: tuple[str, ...] | None = None

    def started(self, plan: TrainPlan) -> None:
        self.names = tuple(plan.speedups)


def trained(rows: Any, folder: Path, **settings: Any) -> tuple[SimCSE, tuple[str, ...]]:
    """The model of a few steps in float32, and the patches that made them faster."""
    listener = Speedups()
    train_sup(
        rows,
        folder,
        batch_size=8,
        learning_rate=1e-3,
        bf16=False,
        device="cpu",
        max_seq_length=16,
        listener=listener,
        **settings,
    )
    assert listener.names is not None
    return SimCSE(folder, device="cpu"), listener.names


def test_the_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, expected in (("", False), ("0", False), ("1", True)):
        monkeypatch.setenv("SIMCSE_KIT_PLAIN", value)
        assert is_plain() == expected
    monkeypatch.delenv("SIMCSE_KIT_PLAIN")
    with contextlib.suppress(KeyboardInterrupt), plain():
        with plain():
            assert is_plain()
        assert is_plain()
        raise KeyboardInterrupt
    assert not is_plain()


def test_nothing_is_faster_inside(tiny_model: ModelFolder) -> None:
    encoder = SimCSE(tiny_model("bert"), pooling="cls_before_pooler", device="cpu").encoder
    assert can_pack(encoder.backbone)
    with plain():
        assert not can_pack(encoder.backbone)
        with compiled(encoder, lambda: None) as works:
            assert not works
            assert encoder.run is None


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An item for each call of transformers' own BERT."""
    made: list[str] = []
    forward = BertModel.forward
    monkeypatch.setattr(BertModel, "forward", lambda *given, **named: made.append("") or forward(*given, **named))
    return made


@pytest.mark.parametrize("pooling", ["cls_before_pooler", "mean"])
def test_encoding_is_the_same(pooling: str, tiny_model: ModelFolder, sentences: list[str], calls: list[str]) -> None:
    model = SimCSE(tiny_model("bert"), pooling=pooling, device="cpu")
    fast = model.encode(sentences)
    assert not calls
    with plain():  # the copies of the weights are there by now
        slow = model.encode(sentences)
    assert calls
    calls.clear()
    np.testing.assert_array_equal(model.encode(sentences), fast)
    assert not calls
    np.testing.assert_allclose(slow, fast, atol=2e-6)


def test_a_model_that_is_loaded_plain_stays_plain(tiny_model: ModelFolder, calls: list[str]) -> None:
    with plain():
        model = SimCSE(tiny_model("bert"), pooling="mean", device="cpu")
    model.encode(["A cat."])
    assert calls


@pytest.mark.parametrize("pooling", ["cls_before_pooler", "mean"])
@pytest.mark.parametrize("rate", [0.0, SMALLEST])
def test_training_is_the_same(
    rate: float,
    pooling: str,
    tiny_model: ModelFolder,
    sentences: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both ways differ by the order of sums, and with a dropout that drops nothing by its scale, 1 + 1/65536."""
    monkeypatch.setattr(dropout, "_random_bits", lambda count: torch.zeros(count, dtype=torch.int16))  # all kept
    pairs = list(zip(sentences[::2], sentences[1::2], strict=True))
    given: dict[str, Any] = {"model": tiny_model("bert"), "pooling": pooling, "epochs": 2}
    fast, names = trained(pairs, tmp_path / "fast", dropout=rate, **given)
    assert names == (
        *(("dropout",) if rate else ()),
        "attention",
        "word gradient",
        *(("first token",) if pooling == "cls_before_pooler" else ()),
    )
    monkeypatch.setenv("SIMCSE_KIT_PLAIN", "1")
    slow, none = trained(pairs, tmp_path / "slow", dropout=0.0, **given)
    assert none == ()
    vectors = slow.encode(sentences)
    monkeypatch.delenv("SIMCSE_KIT_PLAIN")
    np.testing.assert_allclose(fast.encode(sentences), vectors, atol=1e-3 if rate else 2e-5)
    start = SimCSE(tiny_model("bert"), pooling=pooling, device="cpu").encode(sentences)
    assert np.abs(start - vectors).max() > 0.1


IMPORTS = """
import sys
import torch.optim.optimizer as optimizer
import contextlib
import transformers
with contextlib.suppress(ImportError):  # the extra lora; its own hooks are not ours
    import peft
from transformers import AttentionInterface, AttentionMaskInterface, Trainer

def state():
    hooks = [dict(optimizer._global_optimizer_pre_hooks), dict(optimizer._global_optimizer_post_hooks)]
    return [*hooks, *(dict(table._global_mapping) for table in (AttentionInterface, AttentionMaskInterface))]

before = state()
import simcse_kit.encoder.speed.inference, simcse_kit.encoder.speed.fast, simcse_kit.encoder.speed.packed
import simcse_kit.encoder.speed.dropout, simcse_kit.encoder.speed.compiled
import simcse_kit.encoder.whole, simcse_kit.training.fit, simcse_kit.training.running
assert state() == before, (before, state())
"""


def test_importing_changes_nothing_outside() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
