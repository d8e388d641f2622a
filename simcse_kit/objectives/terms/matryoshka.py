"""Matryoshka (Kusupati et al., 2022): the same loss at several widths, so that vectors can be cut later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from simcse_kit.objectives._base import TERMS, Term
from simcse_kit.parts import setting

_PAPER = """@inproceedings{kusupati-etal-2022-matryoshka,
  title = {Matryoshka Representation Learning},
  author = {Kusupati, Aditya and Bhatt, Gantavya and Rege, Aniket and Wallingford, Matthew and Sinha, Aditya and
            Ramanujan, Vivek and Howard-Snyder, William and Chen, Kaifeng and Kakade, Sham and Jain, Prateek and
            Farhadi, Ali},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2022},
  url = {https://arxiv.org/abs/2205.13147},
}"""


@TERMS.register
@dataclass(frozen=True, kw_only=True)
class Matryoshka(Term):
    """The mean of the whole loss over these widths and the full one."""

    name: ClassVar[str] = "matryoshka"
    help: ClassVar[str] = "vectors that can be cut to smaller widths"
    source: ClassVar[str] = "Kusupati et al., 2022"
    citation: ClassVar[str] = _PAPER
    order: ClassVar[int] = 5
    shapes_vectors: ClassVar[bool] = True

    matryoshka_dims: tuple[int, ...] = setting(
        (),
        "Widths to which vectors can be cut later, with commas, such as 128,64 (Matryoshka). Default: the full width "
        "only.",
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
