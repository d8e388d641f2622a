"""Inverted lists in a mapped file: a list is checked before its first search; answers equal FAISS's."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest

from simcse_kit.errors import DamagedIndexError
from simcse_kit.search.blocks import BLOCK, BlockFile, seal
from simcse_kit.search.kinds import InvertedLists, get_kind
from simcse_kit.search.kinds._lists import CheckedLists
from simcse_kit.search.structure import Structure
from simcse_kit.search.vectors import VectorPart, VectorParts

COUNT, DIMENSION = 6000, 32
KINDS = ["ivf", "int8", "rabitq", "IVF40,PQ8x8", "IVF32_HNSW8,SQ8"]


def vectors(count: int = COUNT, seed: int = 0) -> np.ndarray:
    made = np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)
    faiss.normalize_L2(made)
    return made


def written(kind: str, path: Path) -> tuple[InvertedLists, BlockFile]:
    made = get_kind(kind)
    assert isinstance(made, InvertedLists)
    Structure.build(made, VectorParts([VectorPart(0, vectors(), None)], DIMENSION)).write(path)
    return made, BlockFile.open(path, *seal(path))


def opened(kind: InvertedLists, file: BlockFile) -> Structure:
    return Structure.open(kind, file, COUNT, DIMENSION, ())


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_those_of_the_structure_itself(kind: str, tmp_path: Path) -> None:
    made, file = written(kind, tmp_path / "f")
    plain = made.read(file.content)
    structure = opened(made, file)
    assert isinstance(structure.index, CheckedLists)
    allowed = np.arange(COUNT) % 3 > 0
    for effort in (1, 4, 1000):
        for choice in (None, allowed):
            queries = vectors(20, effort)
            found = structure.candidates(queries, 50, effort, choice)
            right = Structure(made, plain, COUNT, ()).candidates(queries, 50, effort, choice)
            np.testing.assert_array_equal(np.sort(found), np.sort(right))
    assert file.checked  # all lists were searched


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_is_named_by_the_search_that_reads_it(kind: str, tmp_path: Path) -> None:
    made, file = written(kind, tmp_path / "f")
    raw, size = (tmp_path / "f").read_bytes(), len(file.content)
    right = opened(made, file).candidates(vectors(1, 5), 20, 2)
    draw, refused = np.random.default_rng(0), 0
    for at in draw.integers(0, size, 30).tolist():
        changed = bytearray(raw)
        changed[at] ^= 1 << int(draw.integers(8))
        (tmp_path / "f").write_bytes(bytes(changed))
        damaged = BlockFile(tmp_path / "f", np.frombuffer(changed, np.uint8)[:size], file._checksums)
        try:
            structure = opened(made, damaged)
            np.testing.assert_array_equal(structure.candidates(vectors(1, 5), 20, 2), right)
        except DamagedIndexError:
            refused += 1
        else:
            with pytest.raises(DamagedIndexError, match="f is damaged: bytes"):
                structure.candidates(vectors(1, 5), 20, 1000)
    assert refused < 30 or size < 4 * BLOCK  # unread parts are not checked
