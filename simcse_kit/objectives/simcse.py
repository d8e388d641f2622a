"""SimCSE (Gao et al., 2021): a sentence finds its positive among the batch, by InfoNCE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from simcse_kit.errors import TrainingError
from simcse_kit.objectives._base import OBJECTIVES, LossBatch, Objective
from simcse_kit.parts import setting
from simcse_kit.parts.papers import GAO_2021

if TYPE_CHECKING:
    from torch import Tensor

HARDNESS_MODES = ("in_batch_negatives", "hard_negatives", "all_negatives")


@OBJECTIVES.register
@dataclass(frozen=True, kw_only=True)
class SimCSEObjective(Objective):
    """Of a row's views the first is the anchor, the second its positive, a third its hard negative (equations 1, 5)."""

    name: ClassVar[str] = "simcse"
    help: ClassVar[str] = "dropout pairs, InfoNCE, and all that the terms add"
    source: ClassVar[str] = "Gao et al., 2021, equations 1 and 5"
    citation: ClassVar[str] = GAO_2021
    order: ClassVar[int] = 1
    modes: ClassVar[tuple[str, ...]] = ("unsup", "sup")
    contrastive: ClassVar[bool] = True
    augments: ClassVar[bool] = True
    taught: ClassVar[bool] = True

    false_negative_margin: float | None = setting(
        None,
        "Leave out negatives whose cosine is above the positive's minus this margin, such as 0 (GISTEmbed). Give it if "
        "true matches are among the negatives. Default: keep all.",
        above=-1,
        below=1,
        words="between -1 and 1",
    )
    hard_negative_weight: float = setting(
        0.0, "Added to the logit of a row's own hard negative; above 0 it counts more."
    )
    hardness_mode: str | None = setting(
        None,
        f"Negatives that weigh more the nearer they are: {', '.join(HARDNESS_MODES)}. Default: none of them.",
        choices=HARDNESS_MODES,
    )
    hardness_strength: float = setting(
        9.0, "Strength of --hardness-mode (Lan et al., 2025).", at_least=0, needs="hardness_mode"
    )
    bidirectional: bool = setting(False, "Add the loss from positive to anchor.")
    angular_margin: float = setting(
        0.0,
        "Degrees added to the angle of each positive (ArcCSE, which uses 10).",
        at_least=0,
        below=90,
        words="from 0 to below 90 degrees",
    )

    @property
    def margin(self) -> float | None:
        """As `false_negative_margin`."""
        return self.false_negative_margin

    def negatives(self, batch: int, columns: int) -> int:
        """The other positives, and all hard negatives where rows have one."""
        return batch - 1 + (batch if columns == 3 else 0)

    def check_columns(self, columns: int, source: str) -> None:
        """Weights of hard negatives need rows that have one."""
        wants_negatives = {
            "--hard-negative-weight": self.hard_negative_weight != 0,
            "--hardness-mode hard_negatives": self.hardness_mode == "hard_negatives",
        }
        for option, given in wants_negatives.items():
            if given and columns != 3:
                raise TrainingError(f"{option} is for rows of three sentences; those of {source} have {columns}")

    def loss(self, batch: LossBatch) -> Tensor:
        """InfoNCE over the batch and the negatives that terms add: V views (B, D) -> scalar."""
        from simcse_kit.losses import info_nce

        return info_nce(
            *batch.views,
            temperature=batch.temperature,
            hard_negative_weight=self.hard_negative_weight,
            angular_margin=self.angular_margin,
            hardness_mode=self.hardness_mode,
            hardness_strength=self.hardness_strength if self.hardness_mode else 0.0,
            bidirectional=self.bidirectional,
            ids=batch.ids,
            false_negative_margin=self.false_negative_margin,
            extra_negatives=batch.negatives,
            extra_ids=batch.negative_ids,
        )

    def notes(self) -> list[str]:
        """What is set, in words."""
        notes = {
            f"angular margin {self.angular_margin:g}": self.angular_margin > 0,
            f"hardness {self.hardness_mode} x {self.hardness_strength:g}": self.hardness_mode is not None,
            f"hard negative weight {self.hard_negative_weight:g}": self.hard_negative_weight != 0,
            "both directions": self.bidirectional,
            f"false negatives masked, margin {self.false_negative_margin}": self.false_negative_margin is not None,
        }
        return [text for text, wanted in notes.items() if wanted]
