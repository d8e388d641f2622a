"""Feature cutoff (ConSERT, Yan et al., 2021, section 3.2), on embeddings instead of ids."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from simcse_kit.errors import TrainingError
from simcse_kit.objectives._base import AUGMENTATIONS, Augmentation
from simcse_kit.parts.papers import YAN_2021

if TYPE_CHECKING:
    from torch import Tensor


def feature_cutoff(embeddings: Tensor, rate: float = 0.2) -> Tensor:
    """ConSERT's feature cutoff (Yan et al., 2021, 3.2): sets a share of the dimensions to 0 in all tokens of a
    sentence.

    (B, L, D) -> (B, L, D). Each sentence draws its own ``int(rate * D)`` dimensions from torch's generator. The rate of
    0.2 is that of ConSERT's released commands.
    """
    import torch

    size, _, width = embeddings.shape
    order = torch.rand(size, width, device=embeddings.device).argsort(dim=1)
    kept = order >= int(rate * width)
    return embeddings * kept.unsqueeze(1)


@contextmanager
def cutting_features(backbone: Any, rate: float = 0.2) -> Iterator[None]:
    """`feature_cutoff` of a backbone's token embeddings, in every forward pass inside the ``with``."""
    try:
        embeddings = backbone.get_input_embeddings()
    except NotImplementedError as error:
        raise TrainingError(
            f"augmentation cutoff needs a table of word embeddings, and {type(backbone).__name__} has none"
        ) from error
    handle = embeddings.register_forward_hook(lambda module, inputs, output: feature_cutoff(output, rate))
    try:
        yield
    finally:
        handle.remove()


AUGMENTATIONS.register(
    Augmentation(
        name="cutoff",
        help="a fifth of the features is 0, in every view",
        source="Yan et al., 2021, section 3.2 and table 4",
        citation=YAN_2021,
        order=5,
        features=cutting_features,
    )
)
