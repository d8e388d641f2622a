"""The module that is trained: the encoder, a head used only in the loss, and the loss."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from simcse_kit.distributed import gather, row_counts
from simcse_kit.encoder.modules import Dense, Encoder, projection_head
from simcse_kit.encoder.padding import Packing
from simcse_kit.encoder.template import TemplateSpan, template_bias
from simcse_kit.launch import world
from simcse_kit.objectives import AUGMENTATIONS
from simcse_kit.objectives.terms.mlm import MaskedLanguageModelling
from simcse_kit.objectives.terms.momentum_queue import MomentumQueueTerm
from simcse_kit.training.batches import Group, some_of
from simcse_kit.training.config import TrainConfig
from simcse_kit.training.loss import BatchLoss, Queued
from simcse_kit.training.mlm import Masked, MaskedLanguageModel, masked_language_model
from simcse_kit.training.queue import MomentumQueue


class Batch(NamedTuple):
    """Output of `TrainingRows.collate` without the sentences."""

    places: Tensor  # (V * B,)
    views: int
    ids: Tensor | None = None  # (B, V)
    gold: Tensor | None = None  # (B,)
    teachers: Sequence[Tensor] = ()  # (B, V, D) each
    labels: Tensor | None = None  # (B,)


class WholeBatch(NamedTuple):
    """A whole step: the output of `TrainingRows.collate`."""

    groups: list[Group]
    batch: Batch

    @classmethod
    def of(cls, groups: list[Group], **rest: Any) -> WholeBatch:
        """Make one from the dictionary that `TrainingRows.collate` returns."""
        return cls(groups, Batch(**rest))


class EmbeddedPart(NamedTuple):
    """Part of a split step: its sentences are embedded again, for their share of the gradient."""

    group: Group
    gradients: Tensor  # (b, D): d loss / d vectors
    last: bool
    extra: Sequence[Tensor] = ()  # in the last part: d loss / d weight for weights of the loss itself


class MaskedPart(NamedTuple):
    """Part of a split step: the masked-language-model term of a group."""

    masked: Masked


Step = WholeBatch | EmbeddedPart | MaskedPart


class SentenceModel(nn.Module):
    """Encoder and training head: token ids of a group (b, L) to the vectors of the loss, (b, D) float32."""

    def __init__(self, encoder: Encoder, config: TrainConfig) -> None:
        super().__init__()
        self.encoder = encoder
        std = float(getattr(encoder.config, "initializer_range", 0.02))
        self.train_head = _train_head(config.train_head, encoder.dimension, std)
        self.templates: list[TemplateSpan] | None = None  # per view, if the vector of the bare template is subtracted

    def forward(self, group: Group) -> Tensor:
        """(b, L) -> (b, D)."""
        ids, mask = group["input_ids"], group.get("attention_mask")
        packing = Packing(group["places"], group["starts"]) if "places" in group else None
        vectors = self.encoder(ids, mask, normalize=False, packing=packing)
        if self.templates is not None:
            vectors = vectors - template_bias(self.encoder, ids, mask, self.templates[int(group["view"])])
        return (vectors if self.train_head is None else self.train_head(vectors)).float()  # type: ignore[no-any-return]


class ContrastiveModel(nn.Module):
    """The module that the trainer calls: groups of token ids in, a loss out.

    ``sentence.encoder`` is saved. The training head, the loss's own weights, the momentum queue and ``mlm`` exist only
    in the run and its checkpoints.
    """

    def __init__(
        self, encoder: Encoder, config: TrainConfig, *, bf16: bool = False, mlm: MaskedLanguageModel | None = None
    ) -> None:
        super().__init__()
        self.settings = config
        self.sentence = SentenceModel(encoder, config)
        self.loss = BatchLoss(config)
        self.queue = self._queue(config)
        self.mlm = mlm
        term = config.term(MaskedLanguageModelling)
        self.mlm_weight = 0.0 if term is None else term.mlm_weight
        self.bf16 = bf16
        self.cutting = [one.features for one in map(AUGMENTATIONS.get, config.augmentation) if one.features]
        self.seen: tuple[Tensor, ...] = ()  # views of the last batch, for the health checks

    @property
    def encoder(self) -> Encoder:
        """The encoder, which is saved."""
        return self.sentence.encoder

    def _queue(self, config: TrainConfig) -> MomentumQueue | None:
        term = config.term(MomentumQueueTerm)
        if term is None:
            return None
        size = max(1, round(term.momentum_queue * config.batch_size * world().size))
        return MomentumQueue(self.sentence, size, self.encoder.dimension)

    def subtract(self, templates: list[TemplateSpan] | None) -> None:
        """Subtract the vector of each view's bare template from now on, also in the momentum model."""
        self.sentence.templates = templates
        if self.queue is not None:
            self.queue.model.templates = templates  # type: ignore[assignment]

    # One step: the whole batch at once

    def forward(self, step: Step) -> Tensor:
        """A step, or a part of one, to a scalar for the backward pass. DDP and FSDP wrap this call."""
        match step:
            case WholeBatch(groups, batch):
                return self.whole_loss(groups, batch)
            case EmbeddedPart():
                return self.surrogate(*step)
            case MaskedPart(masked):
                return self.mlm_loss(masked)

    def whole_loss(self, groups: list[Group], batch: Batch) -> Tensor:
        """The loss of a batch, with all terms."""
        with self.autocast():
            vectors = torch.cat([self.embed(group) for group in groups])
            loss = self.batch_loss(vectors, groups, batch)
            for masked in self.masked(groups):
                loss = loss + self.mlm_loss(masked)
        return loss

    def autocast(self) -> Any:
        """Autocast to bf16 if the run uses bf16."""
        device = next(self.sentence.parameters()).device.type
        return torch.autocast(device, torch.bfloat16) if self.bf16 else nullcontext()

    def embed(self, group: Group) -> Tensor:
        """Vectors of a group's sentences in order: (b, D) float32."""
        with ExitStack() as stack:
            stack.enter_context(self.autocast())
            for cut in self.cutting if self.training else ():
                stack.enter_context(cut(self.encoder.backbone))
            return self.sentence(group)  # type: ignore[no-any-return]

    def batch_loss(self, vectors: Tensor, groups: list[Group], batch: Batch) -> Tensor:
        """The loss of all ranks' vectors, from this rank's vectors in the order of the groups: (V * b, D) -> scalar.

        Once per step, this also updates the momentum queue.
        """
        views = vectors[torch.argsort(batch.places)].chunk(batch.views)
        counts = row_counts(len(views[0]))
        everyone = gather(torch.stack(views, dim=1), counts)  # (B, V, D)
        whole = everyone.unbind(1)
        known = (batch.ids, batch.gold, batch.labels)
        ids, gold, labels = (None if value is None else gather(value, counts) for value in known)
        teachers = [gather(teacher, counts) for teacher in batch.teachers]
        queued = Queued() if self.queue is None else Queued(*self.queue.negatives())
        self.loss.clamp()
        with torch.autocast(vectors.device.type, enabled=False):  # logits reach 1 / temperature: bf16 is too coarse
            loss: Tensor = self.loss(whole, ids, gold, teachers, queued, labels)
        if self.queue is not None and self.training:
            self._advance(self.queue, groups, batch)
        self.seen = tuple(view.detach() for view in whole)
        return loss

    def _advance(self, queue: MomentumQueue, groups: list[Group], batch: Batch) -> None:
        """Update the momentum model, and add its vectors of the batch's positives to the queue."""
        queue.follow(self.sentence)
        rows = len(batch.places) // batch.views
        wanted = (batch.places >= rows) & (batch.places < 2 * rows)
        parts = torch.split(wanted, [len(group["input_ids"]) for group in groups])
        chosen = [some_of(group, keep) for group, keep in zip(groups, parts, strict=True) if keep.any()]
        with torch.no_grad(), self.autocast():
            vectors = torch.cat([queue.model(group) for group in chosen])
        order = torch.argsort(batch.places[wanted])
        assert batch.ids is not None
        queue.push(gather(vectors[order]), gather(batch.ids[:, 1]))

    # The same step in parts, see gradcache

    def surrogate(self, group: Group, gradients: Tensor, last: bool, extra: Sequence[Tensor] = ()) -> Tensor:
        """A scalar with the gradient of the loss through this group's vectors, given d loss / d vectors (b, D).

        In the last part, ``extra`` holds d loss / d weight for weights of the loss itself, and every weight takes part,
        so that gradients are exchanged only once.
        """
        total = (self.embed(group) * gradients).sum()
        if last:
            for weight, gradient in zip(self.loss.parameters(), extra, strict=True):
                total = total + (weight * gradient).sum()
            if self.mlm is not None:
                total = total + 0 * sum(weight.sum() for weight in self.mlm.parameters())
        return total

    def masked(self, groups: list[Group]) -> list[Masked]:
        """The batch for the masked-language-model term; empty without this term."""
        return [] if self.mlm is None else self.mlm.mask(groups)

    def mlm_loss(self, masked: Masked) -> Tensor:
        """A group's part of the weighted masked-language-model term."""
        assert self.mlm is not None
        with self.autocast():
            return self.mlm_weight * self.mlm(masked)  # type: ignore[no-any-return]


def _train_head(kind: str, width: int, std: float) -> nn.Module | None:
    """Training head: SimCSE's dense + tanh, SimCLR's projection, or none."""
    if kind == "mlp":
        return Dense.fresh(width, std=std)
    if kind == "projection":
        return projection_head(width)
    return None


def build_objective(
    encoder: Encoder, tokenizer: Any, config: TrainConfig, folder: Path, *, bf16: bool = False
) -> ContrastiveModel:
    """The module to train. ``folder`` holds the start model, whose masked-language-model head may be needed."""
    wanted = config.term(MaskedLanguageModelling) is not None
    mlm = masked_language_model(encoder, tokenizer, folder) if wanted else None
    return ContrastiveModel(encoder, config, bf16=bf16, mlm=mlm)
