"""The card of a saved model: its snippets run and give the same vectors; its scores are the measured ones."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from simcse_kit import SimCSE, evaluate_pairs, record_evaluation
from simcse_kit.encoder.card import model_card
from simcse_kit.encoder.pooling import POOLERS
from simcse_kit.errors import ModelError
from simcse_kit.evaluation import intervals
from simcse_kit.training.config import make_config, part_settings
from simcse_kit.types import ScoredPairs

PAIRS = ScoredPairs(
    ["a cat", "a dog", "a tree", "the sun"], ["a cat", "a house", "trees", "rain"], np.array([5.0, 2.0, 4.0, 1.0]), "p"
)
WITH_SNIPPET = {"cls_before_pooler", "mean", "avg_top2", "avg_first_last", "max", "last_token"}


def snippets(folder: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.S)


def run(code: str, folder: Path) -> np.ndarray:
    variables: dict[str, Any] = {}
    exec(code.replace("path/or/name/of/this/model", str(folder)), variables)
    vectors = variables["vectors"]
    return vectors.numpy() if isinstance(vectors, torch.Tensor) else np.asarray(vectors)


@pytest.mark.parametrize("pooling", sorted(set(POOLERS) - {"mask"}))
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_every_snippet_gives_the_same_vectors(
    tiny_model: Callable[[str], Path], tmp_path: Path, family: str, pooling: str
) -> None:
    SimCSE(tiny_model(family), pooling=pooling, device="cpu").save(tmp_path / "m")
    ours, *others = (run(code, tmp_path / "m") for code in snippets(tmp_path / "m"))
    assert len(others) == 1 + (pooling in WITH_SNIPPET)
    for vectors in others:
        np.testing.assert_allclose(vectors, ours, atol=1e-5)
    if pooling not in WITH_SNIPPET:
        assert "it lacks modules that this model's pooling" in (tmp_path / "m" / "README.md").read_text()


def test_scores_are_written_into_the_model(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    folder = tmp_path / "m"
    model = SimCSE(tiny_model("bert"), pooling="mean", device="cpu")
    model.save(folder)
    weights = (folder / "model.safetensors").stat().st_mtime_ns
    result = evaluate_pairs(model.encoder_fn(), PAIRS)
    for _ in range(2):  # the second time replaces the first
        record_evaluation(folder, [result])
    (entry,) = json.loads((folder / "simcse_kit.json").read_text())["evaluation"]
    assert entry["scores"] == result.scores
    low, high = intervals(result)["pearson"]
    card = (folder / "README.md").read_text()
    assert f"| pearson | {result.scores['pearson']:.2f} | {low:.2f} to {high:.2f} |" in card
    assert (folder / "model.safetensors").stat().st_mtime_ns == weights
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith(".")) == []
    again = SimCSE(folder, device="cpu")
    again.save(tmp_path / "copy")
    assert (tmp_path / "copy" / "README.md").read_text() == card


def test_the_front_matter_is_what_the_hub_reads(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    model = SimCSE(tiny_model("bert"), pooling="mean", device="cpu")
    model.record = model.record | {
        "license": "apache-2.0",
        "model": "google-bert/bert-base-uncased",
        "objective": "simcse",
        "data": {"source": "hf:owner/texts#plain:train", "rows": 1234, "sha256": "ab" * 32},
        "training": {"epochs": 1},
    }
    model.save(tmp_path / "m")
    result = evaluate_pairs(model.encoder_fn(), PAIRS)
    record_evaluation(tmp_path / "m", [result])
    data = ModelCard.load(tmp_path / "m" / "README.md").data
    assert (data.license, data.base_model) == ("apache-2.0", "google-bert/bert-base-uncased")
    assert data.datasets == ["owner/texts"]
    assert "| data | hf:owner/texts#plain:train, 1,234 rows" in (tmp_path / "m" / "README.md").read_text()
    assert {line.metric_type: line.metric_value for line in data.eval_results} == pytest.approx(result.scores, abs=1e-4)


def test_settings_that_say_something_and_no_place_of_the_writers_disk() -> None:
    record = {
        "mode": "unsup",
        "objective": "simcse",
        "model": "/home/somebody/start",
        "pooling": "mean",
        "data": {"source": "/home/somebody/text.txt", "rows": 1234, "sha256": "ab" * 32},
        "training": {
            "temperature": 0.05,
            "hardness_strength": 9.0,
            "hardness_mode": None,
            "augmentation": ["repetition", "crop"],
            "teacher": ["/home/somebody/teacher"],
            "teacher_weight": 1.0,
            "epochs": 1.3333333333333333,
            "learning_rate": 3e-05,
        },
    }
    card = model_card(record, 8)
    assert "somebody" not in card
    assert "from `start`" in card
    assert "base_model" not in card
    assert "| data | text.txt, 1,234 rows, sha256 `abababababababab` |" in card
    assert "| augmentation | repetition, crop |" in card
    assert "| teacher | teacher |" in card
    assert "teacher weight" in card
    assert "| epochs | 1.333 |" in card
    assert "| learning rate | 3e-05 |" in card
    assert "hardness" not in card
    local = model_card(record | {"data": record["data"] | {"source": "hf:/home/somebody/secret/corpus:train"}}, 8)
    assert "somebody" not in local
    assert "datasets:" not in local
    packaged = model_card(record | {"model": "all-MiniLM-L6-v2"}, 8)
    assert 'base_model: "sentence-transformers/all-MiniLM-L6-v2"' in packaged


def test_only_into_our_own_folders(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds no simcse_kit\.json"):
        record_evaluation(tmp_path, [])


@pytest.mark.parametrize(
    ("mode", "settings", "shown"),
    [
        ("unsup", {}, {"temperature", "train head"}),
        ("unsup", {"angular_margin": 10.0}, {"angular margin"}),
        ("unsup", {"teacher": "t"}, {"teacher weight", "ranking"}),
        ("unsup", {"objective": "neighbors"}, {"neighbors", "vector weight"}),
        ("unsup", {"objective": "distill", "teacher": "t"}, {"teacher temperature"}),
    ],
)
def test_the_card_has_settings_of_the_parts_in_use(mode: str, settings: dict[str, Any], shown: set[str]) -> None:
    config = make_config(mode, {"model": "m"} | settings)
    training = json.loads(json.dumps(config.flat()))
    card = model_card({"mode": mode, "objective": training["objective"], "pooling": "mean", "training": training}, 8)
    rows = set(re.findall(r"^\| ([a-z ]+) \| ", card, re.M))
    assert shown <= rows
    parts = (type(config.objective), *map(type, config.active))
    used = {name.replace("_", " ") for part in parts for name in part.names()}
    others = {name.replace("_", " ") for name in part_settings()} - used
    assert rows & others == set()
