"""The fingerprint depends on everything that affects vectors, and on nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from simcse_kit import SimCSE

pytestmark = pytest.mark.filterwarnings("ignore::simcse_kit.Notice")


def load(folder: Path, **arguments: object) -> SimCSE:
    return SimCSE(folder, **({"pooling": "mean", "device": "cpu"} | arguments))  # type: ignore[arg-type]


def test_it_changes_with_everything_that_changes_vectors(tiny_model: Callable[[str], Path]) -> None:
    folder = tiny_model("bert")
    seen = {load(folder).fingerprint()}
    variants = [load(folder, pooling=p) for p in ("cls", "cls_before_pooler", "max", "avg_top2", "avg_first_last")]
    variants += [load(folder, max_seq_length=10), load(tiny_model("roberta"))]
    for variant in variants:
        seen.add(variant.fingerprint())
    assert len(seen) == 1 + len(variants)
    head = load(folder, pooling="cls")
    before = head.fingerprint()
    with torch.no_grad():
        head.encoder.post[0].linear.bias[0] += 1e-3
    assert head.fingerprint() != before


def test_it_follows_a_model_that_changes_in_memory(tiny_model: Callable[[str], Path]) -> None:
    model = load(tiny_model("bert"))
    seen = [model.fingerprint()]
    with torch.no_grad():
        next(model.encoder.parameters())[0, 0] += 1e-3
    seen.append(model.fingerprint())
    model.prompts["query"] = "find: "
    seen.append(model.fingerprint())
    model.settings.default_prompt_name = "query"
    seen.append(model.fingerprint())
    model.max_seq_length = 12
    seen.append(model.fingerprint())
    for fused in (False, True):  # a fused step does not count the tensors' versions up
        optimizer = torch.optim.AdamW(model.encoder.parameters(), lr=1e-2, fused=fused)
        for parameter in model.encoder.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        seen.append(model.fingerprint())
    model.encoder.load_state_dict(load(tiny_model("bert")).encoder.state_dict())
    seen.append(model.fingerprint())
    assert len(set(seen)) == len(seen)


def test_it_does_not_depend_on_path_name_record_or_session(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    model = load(tiny_model("bert"))
    expected = model.fingerprint()
    shutil.copytree(tiny_model("bert"), tmp_path / "elsewhere")
    assert load(tmp_path / "elsewhere").fingerprint() == expected
    model.record = {"seed": 3}
    model.save(tmp_path / "saved")
    assert SimCSE(tmp_path / "saved").fingerprint() == expected
    model.settings.similarity_fn_name = "dot"  # it changes how vectors are compared, not the vectors
    assert model.fingerprint() == expected
    code = f"from simcse_kit import SimCSE; print(SimCSE({str(tmp_path / 'saved')!r}).fingerprint())"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).split()[-1] == expected
