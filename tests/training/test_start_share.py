"""A share of the start model's weights in the saved model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from simcse_kit import SimCSE, train_unsup
from simcse_kit.errors import TrainingError
from simcse_kit.types import ScoredPairs

pytestmark = pytest.mark.filterwarnings("ignore::simcse_kit.errors.Notice")
SMALL = {"pooling": "mean", "batch_size": 8, "learning_rate": 1e-2, "device": "cpu", "bf16": False}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(SimCSE(folder, pooling="mean", device="cpu").encoder.named_parameters())


def test_each_weight_lies_between_start_and_trained(bert: Path, sentences: list[str], tmp_path: Path) -> None:
    for name, share in (("trained", 0.0), ("mixed", 0.25)):
        train_unsup(sentences, tmp_path / name, model=bert, start_share=share, **SMALL)
    start, trained, mixed = weights(bert), weights(tmp_path / "trained"), weights(tmp_path / "mixed")
    moved = 0.0
    for name, weight in mixed.items():
        torch.testing.assert_close(weight, 0.25 * start[name] + 0.75 * trained[name], atol=1e-6, rtol=1e-5)
        moved = max(moved, float((weight - trained[name]).abs().max().detach()))
    assert moved > 1e-3


def test_a_resumed_run_is_mixed_with_the_start_and_not_with_its_checkpoint(
    bert: Path, sentences: list[str], tmp_path: Path
) -> None:
    settings = SMALL | {"model": bert, "start_share": 0.5, "eval_steps": 2}
    train_unsup(sentences, tmp_path / "whole", **settings)
    train_unsup(sentences, tmp_path / "part", **settings)
    for path in (tmp_path / "part").glob("*.safetensors"):
        path.unlink()
    train_unsup(sentences, tmp_path / "part", resume=True, **settings)
    whole, part = weights(tmp_path / "whole"), weights(tmp_path / "part")
    assert all(torch.equal(weight, part[name]) for name, weight in whole.items())


def test_what_is_scored_is_what_is_saved(bert: Path, sentences: list[str], tmp_path: Path) -> None:
    pairs = ScoredPairs(sentences[:6], sentences[6:12], torch.arange(6.0).numpy(), "pairs")
    with pytest.raises(TrainingError, match="no score can select them: use it with select last"):
        train_unsup(sentences, tmp_path / "run", model=bert, start_share=0.5, eval_data=pairs, **SMALL)
    assert not (tmp_path / "run").exists()
    train_unsup(sentences, tmp_path / "run", model=bert, start_share=0.5, eval_data=pairs, select="last", **SMALL)
