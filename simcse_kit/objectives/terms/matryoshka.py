"""Matryoshka (Kusupati et al., 2022): the same loss at several widths, so that vectors can be cut later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from simcse_kit.objectives._base import TERMS, Term
from simcse_kit.parts import setting


@TERMS.register
@dataclass(frozen=True, kw_only=True)
class Matryoshka(Term):
    """The mean of the whole loss over these widths and the full one."""

    name: ClassVar[str] = "matryoshka"
    help: ClassVar[str] = "vectors that can be cut to smaller widths"
    source: ClassVar[str] = "Kusupati et al., 2022"
    order: ClassVar[int] = 5
    shapes_vectors: ClassVar[bool] = True

    matryoshka_dims: tuple[int, ...] = setting(
        (),
        "Widths to which vectors may be cut later, with commas, such as 128,64 (Matryoshka).",
        above=0,
        words="widths above 0",
    )

    @property
    def active(self) -> bool:
        """With widths."""
        return bool(self.matryoshka_dims)

    def widths(self) -> tuple[int, ...]:
        """Widths at which the whole loss is computed too."""
        return self.matryoshka_dims

    def notes(self) -> list[str]:
        """The widths."""
        return [f"matryoshka {', '.join(map(str, self.matryoshka_dims))}"]
