"""The choices of ``pooling``: one file each. No heavy import: the command's help lists them."""

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
"""``layers`` of a pooler that reads the backbone's output alone."""
ST_MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
"""The modes of sentence-transformers' Pooling."""


@dataclass(frozen=True, kw_only=True)
class Pooler:
    """How one choice of ``pooling`` makes a sentence's vector, and how sentence-transformers writes it.

    Raises:
        ModelError: ``st_mode`` is none of `ST_MODES`, or ``layers`` names no layer.
    """

    name: str
    help: str  # one line: what the vector is
    pool: Callable[[Tensor, Tensor | None], Tensor]
    """States (B, L, D) and mask (B, L), None where every token counts, to vectors (B, D). Padding is on the right."""
    arrays: Callable[[Vectors], Vectors] | None = None
    """The same in numpy for one text, states (L, D) to its vector (D,); None: torch alone pools so. A few texts are
    encoded without torch where this is there."""
    source: str = ""  # paper and year
    citation: str = ""  # its BibTeX entry, for the model card
    layers: tuple[int, ...] = OUTPUT  # indices into hidden_states, whose average is pooled
    st_mode: str | None = None  # sentence-transformers' Pooling mode; None: it has nothing that gives these vectors
    model2vec_mode: str | None = None  # model2vec's name for how one token's vector is made; None: it has none like it
    head: bool = False  # dense + tanh after the pooled vector
    mask_token: bool = False  # only the last mask token of a text counts
    reads_first_token: bool = False  # and no other: the last layer need not compute the rest
    snippet: str | None = None
    """The pooling as a reader of the model's card would write it, over ``states``, hidden states (B, L, D) by layer,
    and ``mask`` (B, L, 1); None where that takes more than an expression."""
    order: int = 100  # in lists

    def __post_init__(self) -> None:
        if self.st_mode is not None and self.st_mode not in ST_MODES:
            raise ModelError(
                f"pooling {self.name}: st_mode must be one of {', '.join(ST_MODES)}, or None where "
                f"sentence-transformers has no such pooling; got {self.st_mode!r}"
            )
        if self.mask_token and self.st_mode not in (None, "mean"):
            raise ModelError(
                f"pooling {self.name}: sentence-transformers reads a mask token by st_mode mean; got {self.st_mode!r}"
            )
        if not self.layers or not all(isinstance(layer, int) for layer in self.layers):
            raise ModelError(f"pooling {self.name}: layers must be one or more whole numbers; got {self.layers!r}")


POOLERS: Family[Pooler] = Family("pooling", __name__, ModelError, Pooler)
