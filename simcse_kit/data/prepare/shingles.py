"""Near-duplicate sentences: overlap of character trigrams, and MinHash keys to find candidates."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

PERMUTATIONS = 128
SEED = 42

# Marks to ignore in comparisons. Not every character that is no letter: vowel signs of Indic scripts must stay.
_MARKS = re.compile(
    r"[\s!-/:-@\[-`{-~¡¦§¨©«¬®¯°±´¶·¸»¿\u2010-\u2027\u2030-\u205e\u3001-\u3003\u3008-\u3020\u3030\u303d"
    r"\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65]+"
)


def fold_text(text: str) -> str:
    """Text without case and punctuation, with a space at both ends, so that even one letter makes a shingle.

    >>> fold_text('"It rains!"')
    ' it rains '
    """
    return f" {_MARKS.sub(' ', text.casefold()).strip()} "


def shingles(text: str) -> frozenset[str]:
    """The set of character trigrams of the folded text.

    >>> sorted(shingles("So so!"))
    [' so', 'o s', 'so ']
    """
    text = fold_text(text)
    return frozenset(map("".join, zip(text, text[1:], text[2:], strict=False)))


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    """Shared shingles divided by all: |a & b| / |a | b|. Both sets have members."""
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared)


def bands_for(threshold: float) -> tuple[int, int]:
    """Bands and rows per band, from at most `PERMUTATIONS`: fewest false candidates that miss at most 1 %.

    Two texts of Jaccard similarity J share a band with probability 1 - (1 - J^rows)^bands (Leskovec et al., Mining of
    Massive Datasets, 3.4.2).

    >>> bands_for(0.9)
    (12, 10)
    """
    fitting = [
        (PERMUTATIONS // rows, rows)
        for rows in range(1, PERMUTATIONS + 1)
        if (1 - threshold**rows) ** (PERMUTATIONS // rows) <= 0.01
    ]
    return fitting[-1]


def band_keys(lines: Sequence[bytes], bands: int, rows: int) -> NDArray[np.uint32]:
    """One key per band of each line's MinHash signature: (N, bands)."""
    from rensa import RMinHash

    hashes, offsets = shingle_hashes([fold_text(line.decode()) for line in lines])
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets, num_perm=bands * rows, seed=SEED)
    signatures = np.array(matrix.to_rows(), np.uint64).reshape(len(lines), bands, rows)
    odd = np.random.default_rng(SEED).integers(0, 1 << 63, rows, np.uint64) * np.uint64(2) + np.uint64(1)
    mixed: NDArray[np.uint64] = (signatures * odd).sum(
        -1, dtype=np.uint64
    )  # multiply-shift hash of the band's rows (Dietzfelbinger)
    return (mixed >> np.uint64(32)).astype(np.uint32)


def shingle_hashes(texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """One hash per trigram of N folded texts, concatenated, and the limits of each text: (N + 1,).

    Three code points of 21 bits fit in a key of 63 bits, and the mixing is bijective: different trigrams have different
    hashes.
    """
    points = np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32).astype(np.uint64)
    keys = points[:-2] | (points[1:-1] << np.uint64(21)) | (points[2:] << np.uint64(42))
    lengths = np.array([len(text) for text in texts])
    inside = np.ones(len(points), np.bool_)
    ends = np.cumsum(lengths)
    inside[ends - 1] = inside[ends - 2] = False  # trigrams that overlap the next text
    offsets = np.concatenate(([0], np.cumsum(lengths - 2))).astype(np.uint64)
    return _splitmix(keys[inside[:-2]]), offsets


def _splitmix(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finalizer of SplitMix64 (Steele et al., 2014): bijective; every output bit depends on every input bit."""
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))
