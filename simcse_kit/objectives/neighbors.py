"""Neighbour distillation: a text learns the mean of its nearest texts' vectors, from the text alone.

The mean over nearest rows is known from image retrieval, where it is made of the index ("database-side augmentation",
Turcot and Lowe, 2009; Arandjelovic and Zisserman, 2012). Here a model learns it, so that new texts and queries have it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from simcse_kit.objectives._base import OBJECTIVES, LossBatch, Neighborhood, Objective
from simcse_kit.parts import setting

if TYPE_CHECKING:
    from torch import Tensor

    from simcse_kit.types import Vectors

_PAPER = """@inproceedings{turcot-lowe-2009-better,
  title = {Better Matching with Fewer Features: The Selection of Useful Features in Large Database Recognition
    Problems},
  author = {Turcot, Panu and Lowe, David G.},
  booktitle = {ICCV Workshop on Emergent Issues in Large Amounts of Visual Data},
  year = {2009},
}"""


@OBJECTIVES.register
@dataclass(frozen=True, kw_only=True)
class Neighbors(Objective):
    """One view of each sentence (for each prompt); its target is what the start model, or a --teacher, sees around it.

    The weight of a near text is exp(-d / sqrt(s s')), with d one less the cosine, and s and s' the distances of both
    texts to their seventh nearest (local scaling, Zelnik-Manor and Perona, 2004); it is 0 where the two are not among
    each other's nearest (Qin et al., 2011). The weight of the text's own vector is ``own_weight``.
    """

    name: ClassVar[str] = "neighbors"
    help: ClassVar[str] = "the mean of each text's nearest texts, as the start model or a --teacher has it"
    source: ClassVar[str] = "Turcot and Lowe, 2009 (mean of neighbours); Zelnik-Manor and Perona, 2004 (weights)"
    citation: ClassVar[str] = _PAPER
    order: ClassVar[int] = 4
    modes: ClassVar[tuple[str, ...]] = ("unsup",)
    twins: ClassVar[bool] = False
    view_of_each_prompt: ClassVar[bool] = True
    taught: ClassVar[bool] = True
    shapes_vectors: ClassVar[bool] = True

    neighbors: int = setting(50, "Nearest texts of a text that may be in its target.", at_least=1, at_most=1000)
    own_weight: float = setting(
        4.0,
        "Weight of a text's own vector in its target; that of a neighbour is below 1.",
        at_least=0,
    )
    vector_weight: float = setting(
        5.0, "Weight of the cosine with the target, against the similarities within the batch.", at_least=0
    )

    @property
    def neighborhood(self) -> int:
        """See `Objective.neighborhood`."""
        return self.neighbors

    def targets(self, around: Neighborhood) -> Vectors:
        """See `Objective.targets`.

        >>> import numpy as np
        >>> one, other = np.eye(2, dtype=np.float32)
        >>> around = Neighborhood(
        ...     own=one[None], near=other[None, None], scores=np.zeros((1, 1)), farthest=np.zeros((1, 1)),
        ...     scale=np.ones(1), near_scale=np.ones((1, 1)),
        ... )
        >>> Neighbors().targets(around).round(4)  # weights 4 and exp(-1)
        array([[0.9958, 0.0916]], dtype=float32)
        """
        import numpy as np

        scales = np.sqrt(around.scale[:, None] * around.near_scale)  # (b, k)
        weights = np.exp((around.scores - 1) / np.maximum(scales, 1e-6))
        weights[around.scores < around.farthest - 1e-6] = 0.0
        summed = self.own_weight * around.own + np.einsum("bk,bkd->bd", weights.astype(np.float32), around.near)
        unit: Vectors = summed / np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-12)
        return unit

    def views(self, columns: int) -> tuple[int, ...]:
        """The sentence, once."""
        return (0,)

    def loss(self, batch: LossBatch) -> Tensor:
        """Views (B, D), one for each prompt, and the targets (B, 1, D') of all -> scalar, the mean over the views.

            w (1 - cos(x_i, t_i)) - sum_j softmax_j(cos(t_i, t_j) / T) log softmax_j(cos(x_i, t_j) / T),   mean over i

        Targets of another width than D teach by their similarities alone, cos(x_i, x_j) in place of cos(x_i, t_j).
        """
        import torch

        (teacher,) = batch.teachers
        return torch.stack([self._of_view(view, teacher[:, 0], batch.temperature) for view in batch.views]).mean()

    def _of_view(self, vectors: Tensor, targets: Tensor, temperature: float | Tensor) -> Tensor:
        from torch.nn.functional import cross_entropy

        from simcse_kit.losses import embedding_distillation, list_net
        from simcse_kit.losses.similarity import cosine_similarity

        wanted = cosine_similarity(targets, targets)
        if targets.shape[1] != vectors.shape[1]:
            found = cosine_similarity(vectors, vectors)
            return list_net(found, wanted, student_temperature=temperature, teacher_temperature=temperature)
        found = cosine_similarity(vectors, targets)
        ranked = cross_entropy(found / temperature, (wanted / temperature).softmax(-1).detach())
        return self.vector_weight * embedding_distillation(vectors, targets) + ranked
