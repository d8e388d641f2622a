"""An objective defined only in a test file works everywhere: help, training, record, card, load, resume."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor
from typer import Typer
from typer.testing import CliRunner

from simcse_kit import SimCSE, repeat_run, train_seeds, train_sup, train_unsup
from simcse_kit.cli import app
from simcse_kit.cli.panels import PanelledCommand
from simcse_kit.cli.train import train_command
from simcse_kit.errors import TrainingError
from simcse_kit.objectives import OBJECTIVES, TERMS, LossBatch, Objective, Term
from simcse_kit.parts import setting
from simcse_kit.training.config import make_config

FAST: dict[str, Any] = {"batch_size": 8, "device": "cpu", "bf16": False}


@dataclass(frozen=True, kw_only=True)
class Hinge(Objective):
    """A sentence's twin must be nearer than every other sentence by a gap."""

    name: ClassVar[str] = "hinge"
    help: ClassVar[str] = "a hinge on cosines"
    source: ClassVar[str] = "this test, 2026"
    citation: ClassVar[str] = "@misc{hinge,\n  title = {Hinge},\n}"
    modes: ClassVar[tuple[str, ...]] = ("unsup",)

    gap: float = setting(0.2, "How much nearer.", at_least=0, at_most=2)

    def loss(self, batch: LossBatch) -> Tensor:
        """Two views (B, D) -> scalar."""
        first, second = (torch.nn.functional.normalize(view, dim=1) for view in batch.views)
        cosines = first @ second.T
        others = ~torch.eye(len(cosines), dtype=torch.bool)
        return torch.relu(self.gap + cosines - cosines.diag()[:, None])[others].mean()


PATH = f"{__name__}:Hinge"


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an installed package registers it by its entry point."""
    OBJECTIVES.names()
    monkeypatch.setattr(OBJECTIVES, "_parts", dict(OBJECTIVES._parts))
    monkeypatch.setattr(OBJECTIVES, "_homes", dict(OBJECTIVES._homes))
    OBJECTIVES.register(Hinge)


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_it_is_in_help_and_lists(registered: None) -> None:
    listed = CliRunner().invoke(app, ["objectives"]).output
    assert "a hinge on cosines" in listed
    shown = CliRunner().invoke(app, ["objectives", "hinge"]).output
    assert "--gap" in shown
    assert "How much nearer." in shown
    assert "this test, 2026" in shown
    assert "@misc{hinge," in shown
    fresh = Typer(rich_markup_mode=None)
    fresh.command("unsup", cls=PanelledCommand)(train_command("unsup"))
    text = CliRunner().invoke(fresh, ["--help"]).output
    assert "hinge a hinge on cosines" in " ".join(text.split())
    assert "--gap" in text


def test_it_trains_and_resumes_by_its_name(
    registered: None, tiny_model: Callable[[str], Path], sentences: list[str], tmp_path: Path
) -> None:
    settings = FAST | {"model": tiny_model("bert"), "objective": "hinge", "gap": 0.3}
    result = train_unsup(sentences, tmp_path / "run", **settings)
    assert result.steps == 5
    arguments = json.loads((tmp_path / "run" / "run.json").read_text())["arguments"]
    assert (arguments["objective"], arguments["gap"]) == ("hinge", 0.3)
    card = (tmp_path / "run" / "README.md").read_text(encoding="utf-8")
    assert "- objective `hinge`: a hinge on cosines. Source: this test, 2026." in card
    assert Hinge.citation in card
    assert SimCSE(tmp_path / "run").encode("a cat").shape == (32,)
    assert train_unsup(sentences, tmp_path / "run", resume=True, **settings).steps == 5
    with pytest.raises(TrainingError, match=r"--resume: gap was 0\.3 in the run .* is now 0\.1"):
        train_unsup(sentences, tmp_path / "run", resume=True, **settings | {"gap": 0.1})
    with pytest.raises(TrainingError, match="gap must be at least 0 and at most 2; got 3"):
        train_unsup(sentences, tmp_path / "other", **settings | {"gap": 3})
    with pytest.raises(TrainingError, match="angular_margin is a setting of objective simcse, not of hinge"):
        train_unsup(sentences, tmp_path / "other", **settings, angular_margin=10)
    with pytest.raises(TrainingError, match="gap is a setting of objective hinge, not of simcse"):
        train_unsup(sentences, tmp_path / "other", **settings | {"objective": "simcse"})
    with pytest.raises(
        TrainingError, match="objective of train sup must be one of simcse, cosent, angle, supcon; got 'hinge'"
    ):
        train_sup([("a", "b")] * 9, tmp_path / "other", **settings)


def test_an_object_a_path_and_the_command_are_the_same_run(
    importable: None, tiny_model: Callable[[str], Path], sentences: list[str], tmp_path: Path
) -> None:
    settings = FAST | {"model": tiny_model("bert")}
    train_unsup(sentences, tmp_path / "object", objective=Hinge(gap=0.2), **settings)
    train_unsup(sentences, tmp_path / "path", objective=PATH, gap=0.2, **settings)
    (tmp_path / "corpus.txt").write_text("\n".join(sentences), encoding="utf-8")
    start = ["--model", str(tiny_model("bert")), "--batch-size", "8", "--device", "cpu", "--no-bf16"]
    done = CliRunner().invoke(
        app,
        [
            "train",
            "unsup",
            str(tmp_path / "corpus.txt"),
            "--objective",
            PATH,
            "--output-dir",
            str(tmp_path / "cli"),
            *start,
        ],
    )
    assert done.exit_code == 0, done.output
    assert weights(tmp_path / "object") == weights(tmp_path / "path") == weights(tmp_path / "cli")
    assert json.loads((tmp_path / "object" / "run.json").read_text())["arguments"]["objective"] == PATH


def test_a_recorded_path_is_not_imported_unless_trusted(
    importable: None, tiny_model: Callable[[str], Path], sentences: list[str], tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n".join(sentences), encoding="utf-8")
    train_unsup(corpus, tmp_path / "run", objective=Hinge(gap=0.4), model=tiny_model("bert"), **FAST)
    with pytest.raises(TrainingError, match=rf"objective {PATH} is code outside this package.*trust_remote_code"):
        repeat_run(tmp_path / "run", tmp_path / "again")
    repeat_run(tmp_path / "run", tmp_path / "again", trust_remote_code=True)
    assert weights(tmp_path / "run") == weights(tmp_path / "again")
    vectors = SimCSE(tmp_path / "run", device="cpu").encode(sentences)  # loading a model imports no objective
    assert np.isfinite(vectors).all()


INCOMPLETE = """
from dataclasses import dataclass
from simcse_kit.objectives import Objective
from simcse_kit.parts import setting

class Mse(Objective):
    name, help = "mse", "squared distance"
    def loss(self, batch):
        return (batch.views[0] - batch.views[1]).square().mean()

class Nothing(Objective):
    pass

class Undecorated(Mse):
    modes = ("unsup",)
    weight: float = setting(1.0, "Weight.")

class Text(Mse):
    modes = "unsup"
"""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Mse", r"^objective own_losses:Mse lacks modes; see the docstring of Objective$"),
        ("Nothing", r"^objective own_losses:Nothing lacks name, help, modes, loss\(\); see "),
        ("Undecorated", r"own_losses:Undecorated has settings \(weight\) but is not a dataclass; put @dataclass"),
        ("Text", r"^modes of Text must be a tuple of .*; got 'unsup'$"),
    ],
)
def test_what_an_own_objective_lacks_is_named(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_losses.py").write_text(INCOMPLETE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_losses", raising=False)
    with pytest.raises(TrainingError, match=message):
        make_config("unsup", {"model": "m", "objective": f"own_losses:{name}"})
    if name != "Text":
        own = getattr(sys.modules["own_losses"], name)
        with pytest.raises(TrainingError, match=message.removeprefix("^").replace("own_losses:", "")):
            OBJECTIVES.register(own)
    if name == "Mse":
        with pytest.raises(TrainingError, match=r"^Mse lacks modes"):
            own()


@dataclass(frozen=True, kw_only=True)
class Spread(Term):
    """Keeps the batch's mean vector short."""

    name: ClassVar[str] = "spread"
    help: ClassVar[str] = "a short mean vector"

    spread_weight: float = setting(0.0, "Weight of the mean vector's length.", at_least=0)

    @property
    def active(self) -> bool:
        """With a weight."""
        return self.spread_weight > 0

    def loss(self, batch: LossBatch) -> Tensor | None:
        """Views (B, D) -> scalar."""
        return self.spread_weight * batch.views[0].mean(0).norm()


def test_a_term_joins_an_objective(
    tiny_model: Callable[[str], Path], sentences: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    TERMS.names()
    monkeypatch.setattr(TERMS, "_parts", dict(TERMS._parts))
    monkeypatch.setattr(TERMS, "_homes", dict(TERMS._homes))
    TERMS.register(Spread)
    settings = FAST | {"model": tiny_model("bert"), "learning_rate": 1e-3}
    train_unsup(sentences, tmp_path / "plain", **settings)
    train_unsup(sentences, tmp_path / "without", **settings, spread_weight=0.0)
    train_unsup(sentences, tmp_path / "with", **settings, spread_weight=10.0)
    assert weights(tmp_path / "plain") == weights(tmp_path / "without")
    means = [
        np.linalg.norm(np.asarray(SimCSE(tmp_path / name, device="cpu").encode(sentences)).mean(0))
        for name in ("plain", "with")
    ]
    assert means[1] < means[0]


def test_a_run_asks_only_the_terms_that_take_part() -> None:
    """Inactive ones cost a step nothing; a ranking is used if there is a teacher."""

    def names(mode: str, **settings: Any) -> list[str]:
        return [term.name for term in make_config(mode, {"model": "m"} | settings).active]

    assert names("unsup") == names("sup") == []
    assert names("unsup", teacher="t") == ["ranking"]
    assert names("unsup", teacher="t", noise_negatives=1.0, mlm_weight=0.1) == ["ranking", "noise_negatives", "mlm"]
    assert names("sup", objective="cosent", matryoshka_dims=(8,)) == ["matryoshka"]


@pytest.mark.parametrize(
    ("name", "near"), [("learing_rate", "learning_rate"), ("batchsize", "batch_size"), ("evaldata", "eval_data")]
)
def test_an_unknown_setting_names_the_nearest(name: str, near: str, sentences: list[str], tmp_path: Path) -> None:
    settings: dict[str, Any] = {"model": "m", name: 1}
    with pytest.raises(TypeError, match=rf"train_unsup\(\) has no argument '{name}'; did you mean {near}\?"):
        train_unsup(sentences, tmp_path / "run", **settings)
    with pytest.raises(TypeError, match=rf"train_sup\(\) has no argument '{name}'"):
        train_sup([("a", "b")], tmp_path / "run", **settings)
    with pytest.raises(TypeError, match=rf"train_seeds\(\) has no argument '{name}'"):
        train_seeds("unsup", sentences, tmp_path / "run", [1], **settings)
    assert not (tmp_path / "run").exists()
