"""Parts with which a model was made, and their descriptions: from the model's record and the registry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from simcse_kit.encoder.poolers import POOLERS
from simcse_kit.errors import SimCSEKitError
from simcse_kit.objectives import AUGMENTATIONS, OBJECTIVES, TERMS, Objective, Term
from simcse_kit.parts import Family


def used_parts(record: dict[str, Any]) -> list[dict[str, str]]:
    """Objective, terms, augmentations and pooling of a model: family, name, help, source and BibTeX entry of each.

    Args:
        record: content of ``simcse_kit.json``. A record imports no code: the description of a user's own part that is
            not loaded comes from the record's ``parts``.
    """
    before = {(part["family"], part["name"]): part for part in record.get("parts", [])}
    found = []
    for family, name in _named(record, before):
        part = family.known(name)
        if part is not None:
            texts = {text: getattr(part, text, "") for text in ("help", "source", "citation")}
            found.append({"family": family.noun, "name": name, **texts})
        elif (family.noun, name) in before:
            found.append(before[family.noun, name])
    return found


def unused_settings(record: dict[str, Any]) -> set[str]:
    """Settings of objectives and terms that took no part in the run of a record."""
    objective = OBJECTIVES.known(record.get("objective")) or Objective
    terms = [part["name"] for part in used_parts(record) if part["family"] == TERMS.noun]
    used = {*objective.names(), *(name for term in TERMS if term.name in terms for name in term.names())}
    return {name for part in (*OBJECTIVES, *TERMS) for name in part.names()} - used


def _named(record: dict[str, Any], before: dict[tuple[str, str], Any]) -> Iterator[tuple[Family[Any], str]]:
    """Family and recorded name of each part of a model."""
    training = record.get("training", {})
    if record.get("objective"):
        yield OBJECTIVES, record["objective"]
        objective = OBJECTIVES.known(record["objective"])
        if objective is None:  # its terms are unknown too
            names = [name for family, name in before if family == TERMS.noun]
        else:
            names = [term.name for term in TERMS if _took_part(term, objective, training)]
        yield from ((TERMS, name) for name in names)
    yield from ((AUGMENTATIONS, name) for name in training.get("augmentation", ()))
    yield POOLERS, str(record.get("pooling"))


def _took_part(term: type[Term], objective: type[Objective], training: dict[str, Any]) -> bool:
    """Whether a term was active in a run with these recorded settings."""
    given = {
        field.name: tuple(value) if isinstance(value := training[field.name], list) else value
        for field in fields(term)
        if field.name in training and (not field.metadata["needs"] or training.get(field.metadata["needs"]))
    }
    if not given or not term().combines(objective):
        return False
    try:
        return term(**given).active
    except SimCSEKitError:  # of another version: a value that is no longer allowed
        return False
