"""The choices of ``pooling``, one file each. No heavy import, because the command's help lists them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simcse_kit.errors import ModelError
from simcse_kit.parts import Family

if TYPE_CHECKING:
    from torch import Tensor

    from simcse_kit.types import Vectors

OUTPUT = (-1,)
"""``layers`` of a pooler that reads only the backbone's output."""
ST_MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
"""Modes of sentence-transformers' Pooling."""


@dataclass(frozen=True, kw_only=True)
class Pooler:
    """One choice of ``pooling``: how a sentence's vector is made, and how sentence-transformers writes it.

    Raises:
        ModelError: ``st_mode`` is not in `ST_MODES`, or ``layers`` names no layer.
    """

    name: str
    help: str  # one line: what the vector is
    pool: Callable[[Tensor, Tensor | None], Tensor]
    """States (B, L, D) and mask (B, L), or None if every token counts, to vectors (B, D). Padding is on the right."""
    arrays: Callable[[Vectors], Vectors] | None = None
    """The same in numpy for one text, states (L, D) to its vector (D,), so that a few texts are encoded without torch;
    None: torch only.
    """
    source: str = ""  # paper and year
    citation: str = ""  # its BibTeX entry, for the model card
    layers: tuple[int, ...] = OUTPUT  # indices into hidden_states, which are averaged before pooling
    st_mode: str | None = None  # sentence-transformers' Pooling mode; None: it cannot make these vectors
    model2vec_mode: str | None = None  # model2vec's name for the vector of a single token; None: it has none
    head: bool = False  # dense + tanh after the pooled vector
    mask_token: bool = False  # only the last mask token of a text counts
    reads_first_token: bool = False  # the last layer need not compute other tokens
    snippet: str | None = None
    """The pooling as code for the model's card, over ``states``, hidden states (B, L, D) by layer, and ``mask`` (B, L,
    1); None if one expression is not enough.
    """
    order: int = 100  # position in lists

    def __post_init__(self) -> None:
        if self.st_mode is not None and self.st_mode not in ST_MODES:
            raise ModelError(
                f"pooling {self.name}: st_mode must be one of {', '.join(ST_MODES)}, or None if "
                f"sentence-transformers has no such pooling; got {self.st_mode!r}"
            )
        if self.mask_token and self.st_mode not in (None, "mean"):
            raise ModelError(
                f"pooling {self.name}: to read a mask token, sentence-transformers needs st_mode mean; got "
                f"{self.st_mode!r}"
            )
        if not self.layers or not all(isinstance(layer, int) for layer in self.layers):
            raise ModelError(f"pooling {self.name}: layers must be one or more whole numbers; got {self.layers!r}")


POOLERS: Family[Pooler] = Family("pooling", __name__, ModelError, Pooler)
