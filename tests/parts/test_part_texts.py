"""The model card and the README's tables describe a part with its own texts; no other code names it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from simcse_kit import SimCSE
from simcse_kit.encoder.poolers import POOLERS, Pooler
from simcse_kit.encoder.used_parts import used_parts
from simcse_kit.objectives import AUGMENTATIONS, OBJECTIVES, TERMS

CITED = [part for family in (OBJECTIVES, TERMS, AUGMENTATIONS, POOLERS) for part in family]
TRAINING = {"temperature": 0.05, "consistency_weight": 0.0, "momentum_queue": 2.5, "augmentation": ["deletion"]}
RECORD: dict[str, Any] = {"objective": "simcse", "training": TRAINING, "pooling": "cls"}


def names(record: dict[str, Any]) -> list[tuple[str, str]]:
    return [(part["family"], part["name"]) for part in used_parts(record)]


@pytest.mark.parametrize("part", CITED, ids=lambda part: part.name)
def test_the_citation_is_of_the_paper_that_the_source_names(part: Any) -> None:
    (key,) = re.findall(r"^@(?:inproceedings|article|misc)\{([\w-]+),$", part.citation, re.M)
    first_author = re.search(r"author = \{(\w+),", part.citation)
    year = re.search(r"year = \{(\d{4})\}", part.citation)
    assert first_author is not None
    assert year is not None
    assert first_author[1] in part.source
    assert year[1] in part.source
    assert key.startswith(first_author[1].lower())
    assert part.citation.count("{") == part.citation.count("}")


def test_papers_have_keys_of_their_own() -> None:
    papers = {part.citation for part in CITED}
    assert len({paper.partition(",")[0] for paper in papers}) == len(papers)


def test_parts_are_those_that_took_part() -> None:
    assert names(RECORD) == [
        ("objective", "simcse"),
        ("term", "momentum_queue"),
        ("augmentation", "deletion"),
        ("pooling", "cls"),
    ]
    assert names({"pooling": "mean"}) == [("pooling", "mean")]  # a model without a record of training
    taught = {"teacher": ["t"], "teacher_weight": 1.0, "augmentation": []}
    assert names(RECORD | {"training": taught})[1:] == [("term", "ranking"), ("pooling", "cls")]
    alone = RECORD | {"training": taught, "objective": "distill"}
    assert names(alone) == [("objective", "distill"), ("pooling", "cls")]


def test_an_own_part_that_is_not_loaded_keeps_its_text() -> None:
    own = {"family": "objective", "name": "elsewhere:Mine", "help": "mine", "source": "me, 2026", "citation": ""}
    term = {"family": "term", "name": "mlm", "help": "of then", "source": "", "citation": ""}
    record = RECORD | {"objective": "elsewhere:Mine", "parts": [own, term]}
    found = used_parts(record)
    assert found[0] == own
    assert [part["name"] for part in found] == ["elsewhere:Mine", "mlm", "deletion", "cls"]
    assert names(RECORD | {"objective": "elsewhere:Mine"}) == [("augmentation", "deletion"), ("pooling", "cls")]


@pytest.fixture
def halved(monkeypatch: pytest.MonkeyPatch) -> Pooler:
    """A pooling defined only in this file, registered as an installed package registers it."""
    mean = POOLERS.get("mean")
    monkeypatch.setattr(POOLERS, "_parts", dict(POOLERS._parts))
    monkeypatch.setattr(POOLERS, "_homes", dict(POOLERS._homes))
    paper = "@misc{halved,\n  title = {Halved},\n}"
    return POOLERS.register(
        replace(mean, name="halved", help="half | of the mean", source="this file, 2026", citation=paper, order=1)
    )


def test_the_card_of_a_dummy_comes_from_the_part(
    halved: Pooler, tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    SimCSE(tiny_model("bert"), pooling="halved", device="cpu").save(tmp_path / "m")
    card = (tmp_path / "m" / "README.md").read_text(encoding="utf-8")
    assert "- pooling `halved`: half | of the mean. Source: this file, 2026.\n" in card
    assert f"```bibtex\n{halved.citation}\n```" in card


def test_the_row_of_a_dummy_comes_from_the_part(halved: Pooler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "eval")
    from lib.part_tables import part_blocks

    first = part_blocks()["poolings"].splitlines()[2]
    assert first == "| `halved` | half \\| of the mean | mean | this file, 2026 |"


def test_a_paper_of_two_parts_is_cited_once(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    model = SimCSE(tiny_model("bert"), pooling="cls", device="cpu")
    model.record = model.record | {"objective": "simcse", "training": TRAINING}
    model.save(tmp_path / "m")
    card = (tmp_path / "m" / "README.md").read_text(encoding="utf-8")
    assert card.count("@inproceedings{gao-etal-2021-simcse,") == 1  # of objective, augmentation and pooling
    assert card.count("@inproceedings{wu-etal-2022-esimcse,") == 1
    assert (
        "- term `momentum_queue`: negatives of earlier batches, by a momentum encoder. Source: Wu et al., 2022" in card
    )
    assert "\n\n@inproceedings" in card
    again = SimCSE(tmp_path / "m", device="cpu")
    again.save(tmp_path / "copy")
    assert (tmp_path / "copy" / "README.md").read_text(encoding="utf-8") == card
