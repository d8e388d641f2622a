"""Teachers by name, with a pooling of the package or of the user's own."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simcse_kit import ModelError, SimCSE, repeat_run, train_unsup
from simcse_kit.encoder.poolers import POOLERS
from simcse_kit.training.teacher_names import teacher_name, teacher_pooling
from simcse_kit.training.teachers import load_teacher

OWN = """
from simcse_kit.encoder.poolers import Pooler

first = Pooler(name="first", help="the first token", pool=lambda hidden, mask: hidden[:, 0])
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A pooling of the user's own, by its import path; not imported yet."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "teacher_poolers.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path / "code")
    yield "teacher_poolers:first"
    sys.modules.pop("teacher_poolers", None)
    POOLERS._own.clear()


@pytest.mark.parametrize(
    ("name", "model", "pooling"),
    [
        ("all-MiniLM-L6-v2", "all-MiniLM-L6-v2", None),
        ("owner/name:mean", "owner/name", "mean"),
        ("owner/name:avg", "owner/name", "avg"),
        ("owner/name:my_module:first", "owner/name", "my_module:first"),
        ("/models/a:package.module:Pooler", "/models/a", "package.module:Pooler"),
        ("owner/name:main", "owner/name:main", None),
        ("my_module:first", "my_module:first", None),
        ("my_module:first:mean", "my_module:first", "mean"),
    ],
)
def test_a_name_is_a_model_and_perhaps_its_pooling(name: str, model: str, pooling: str | None) -> None:
    assert (teacher_name(name), teacher_pooling(name)) == (model, pooling)
    assert "my_module" not in sys.modules


def test_a_teacher_with_a_pooling_of_one_s_own(
    own: str, tiny_model: Callable[[str], Path], sentences: list[str]
) -> None:
    teacher = load_teacher(f"{tiny_model('bert')}:{own}", device="cpu")
    assert teacher.pooling == own
    first = SimCSE(tiny_model("bert"), pooling="cls_before_pooler", device="cpu")
    np.testing.assert_allclose(teacher.encode(sentences), first.encode(sentences), atol=1e-6)
    with pytest.raises(ModelError, match=r"teacher_poolers has no last .*your own pooling as NAME:MODULE:POOLER"):
        load_teacher(f"{tiny_model('bert')}:teacher_poolers:last", device="cpu")


def test_a_recorded_pooling_of_a_teacher_is_not_imported(own: str, tmp_path: Path) -> None:
    arguments = {"mode": "unsup", "objective": "distill", "pooling": None}
    record = {"arguments": arguments, "teachers": {f"owner/name:{own}": {"path": None}}}
    (tmp_path / "run.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(ModelError, match=rf"pooling {own} is code outside this package.*trust_remote_code"):
        repeat_run(tmp_path / "run.json", tmp_path / "again")
    assert "teacher_poolers" not in sys.modules


@pytest.mark.slow
def test_a_run_with_an_own_pooling_of_the_teacher_repeats_where_trusted(
    own: str, tiny_model: Callable[[str], Path], sentences: list[str], tmp_path: Path
) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n".join(sentences), encoding="utf-8")
    settings: dict[str, Any] = {"objective": "distill", "teacher": f"{tiny_model('mpnet')}:{own}", "batch_size": 20}
    train_unsup(corpus, tmp_path / "run", model=tiny_model("bert"), device="cpu", bf16=False, **settings)
    repeat_run(tmp_path / "run", tmp_path / "again", trust_remote_code=True)
    one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("run", "again"))
    assert one == other
