"""SupCon (Khosla et al., 2020): texts of one class find each other among the batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from simcse_kit.objectives._base import OBJECTIVES, LossBatch, Objective
from simcse_kit.parts import setting

if TYPE_CHECKING:
    from torch import Tensor

_PAPER = """@inproceedings{khosla-etal-2020-supervised,
  title = {Supervised Contrastive Learning},
  author = {Khosla, Prannay and Teterwak, Piotr and Wang, Chen and Sarna, Aaron and Tian, Yonglong and Isola, Phillip
    and Maschinot, Aaron and Liu, Ce and Krishnan, Dilip},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {33},
  year = {2020},
}"""


@OBJECTIVES.register
@dataclass(frozen=True, kw_only=True)
class SupCon(Objective):
    """A batch holds several texts of each of its classes; every text is an anchor, those of its class its positives."""

    name: ClassVar[str] = "supcon"
    help: ClassVar[str] = "texts with classes: those of one class find each other"
    source: ClassVar[str] = "Khosla et al., 2020, equation 2"
    citation: ClassVar[str] = _PAPER
    order: ClassVar[int] = 6
    modes: ClassVar[tuple[str, ...]] = ("sup",)
    labelled: ClassVar[bool] = True
    shapes_vectors: ClassVar[bool] = True

    texts_per_class: int = setting(4, "Texts of each class in a batch, approximately.", at_least=2)
    dropout_views: bool = setting(
        False,
        "Embed each text twice, under two dropout masks: a class with one text gets a positive too. A step takes twice "
        "the time.",
    )

    @property
    def per_class(self) -> int:
        """See `Objective.per_class`."""
        return self.texts_per_class

    def views(self, columns: int) -> tuple[int, ...]:
        """The text, once or twice."""
        return (0, 0) if self.dropout_views else (0,)

    def loss(self, batch: LossBatch) -> Tensor:
        """One or two views (B, D) and class numbers (B,) -> scalar."""
        from simcse_kit.losses import sup_con

        assert batch.labels is not None
        return sup_con(batch.views[0], batch.labels, *batch.views[1:], temperature=batch.temperature)

    def notes(self) -> list[str]:
        """What is set, in words."""
        return [f"{self.texts_per_class} texts of a class"] + ["two dropout views"] * self.dropout_views
