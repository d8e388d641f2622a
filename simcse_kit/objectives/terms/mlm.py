"""SimCSE's masked-language-model term (Gao et al., 2021, section 3): the backbone does not forget its words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from simcse_kit.objectives._base import TERMS, Term
from simcse_kit.parts import setting
from simcse_kit.parts.papers import GAO_2021


@TERMS.register
@dataclass(frozen=True, kw_only=True)
class MaskedLanguageModelling(Term):
    """Its module, which holds the language-model head, is `simcse_kit.training.mlm`."""

    name: ClassVar[str] = "mlm"
    help: ClassVar[str] = "a masked-language-model loss on the same sentences"
    source: ClassVar[str] = "Gao et al., 2021, table D.2"
    citation: ClassVar[str] = GAO_2021
    order: ClassVar[int] = 6
    masks_words: ClassVar[bool] = True
    not_sharded: ClassVar[str] = "the processes may run different numbers of forward passes for it"

    mlm_weight: float = setting(
        0.0, "Weight of a masked-language-model loss on the same sentences; 0 leaves it out.", at_least=0
    )

    @property
    def active(self) -> bool:
        """With a weight."""
        return self.mlm_weight > 0

    def notes(self) -> list[str]:
        """The weight."""
        return [f"masked-language-model term x {self.mlm_weight:g}"]
