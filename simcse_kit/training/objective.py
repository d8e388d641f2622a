"""What is trained: the encoder, a head for the loss alone, and the loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from simcse_kit.encoder.backbone import quiet_transformers
from simcse_kit.encoder.modules import Dense, Encoder
from simcse_kit.errors import TrainingError, say_once
from simcse_kit.losses import info_nce
from simcse_kit.training.batches import Group
from simcse_kit.training.config import TrainConfig

_MLM_PROBABILITY = 0.15  # of the tokens are to be predicted (Devlin et al., 2019)


class ContrastiveModel(nn.Module):
    """The module that the trainer steps: groups of token ids in, a loss out.

    ``encoder`` is what is saved; ``train_head`` (dense + tanh) and ``mlm`` live in the loss and in checkpoints only.
    """

    def __init__(self, encoder: Encoder, config: TrainConfig, *, mlm: nn.Module | None = None, tokenizer: Any) -> None:
        super().__init__()
        self.encoder = encoder
        std = float(getattr(encoder.config, "initializer_range", 0.02))
        self.train_head = Dense.fresh(encoder.dimension, std=std) if config.train_head == "mlp" else None
        self.mlm = mlm
        self.temperature = config.temperature
        self.hard_negative_weight = config.hard_negative_weight
        self.mlm_weight = config.mlm_weight
        self.mask_id = tokenizer.mask_token_id
        self.vocab_size = len(tokenizer)
        self.register_buffer("special_ids", torch.tensor(sorted(tokenizer.all_special_ids)), persistent=False)

    def forward(self, groups: list[Group], places: Tensor, views: int) -> dict[str, Tensor]:
        """A batch of `TrainingRows.collate` to ``{"loss": scalar}``."""
        first, second, *rest = self.embed(groups, places, views)
        with torch.autocast(first.device.type, enabled=False):  # logits reach 1 / temperature: too fine for bf16
            loss = info_nce(
                first,
                second,
                rest[0] if rest else None,
                temperature=self.temperature,
                hard_negative_weight=self.hard_negative_weight,
            )
        if self.mlm is not None:
            loss = loss + self.mlm_weight * self.mlm_loss(groups)
        return {"loss": loss}

    def embed(self, groups: list[Group], places: Tensor, views: int) -> tuple[Tensor, ...]:
        """V tensors of (B, D) float32: the views, in the rows' order, behind the training head."""
        parts = [self.encoder(group["input_ids"], group.get("attention_mask"), normalize=False) for group in groups]
        vectors = torch.cat(parts)[torch.argsort(places)]  # (V * B, D)
        if self.train_head is not None:
            vectors = self.train_head(vectors)
        return vectors.float().chunk(views)

    def mlm_loss(self, groups: list[Group]) -> Tensor:
        """Masked-language-model loss over all sentences of the batch, one mean over all predicted tokens."""
        assert self.mlm is not None
        total = torch.zeros((), device=groups[0]["input_ids"].device)
        count = 0
        for group in groups:
            ids, mask = group["input_ids"], group.get("attention_mask")
            fixed = torch.isin(ids, self.special_ids)  # type: ignore[arg-type]
            if mask is not None:
                fixed |= mask == 0
            masked, labels = mask_tokens(ids, fixed, self.mask_id, self.vocab_size)
            predicted = int((labels != -100).sum())
            if predicted:
                output = self.mlm(input_ids=masked, attention_mask=mask, labels=labels)
                total = total + output.loss.float() * predicted
                count += predicted
        return total / max(count, 1)


def mask_tokens(ids: Tensor, fixed: Tensor, mask_id: int, vocab_size: int) -> tuple[Tensor, Tensor]:
    """BERT's masking (Devlin et al., 2019, 3.1): 15 % of the tokens are labels; of these, 80 % become the mask token,
    10 % another token, 10 % stay. ids and ``fixed`` (never chosen) are (B, L); returns masked ids and labels, both
    (B, L), -100 where nothing is to be predicted.
    """
    chosen = (torch.rand(ids.shape, device=ids.device) < _MLM_PROBABILITY) & ~fixed
    labels = torch.where(chosen, ids, -100)
    action = torch.rand(ids.shape, device=ids.device)
    other = torch.randint_like(ids, vocab_size)
    masked = torch.where(chosen & (action < 0.8), mask_id, ids)
    return torch.where(chosen & (action >= 0.9), other, masked), labels


def build_objective(encoder: Encoder, tokenizer: Any, config: TrainConfig, folder: Path) -> ContrastiveModel:
    """The module to train; ``folder`` is where the start model lies, for a masked-language-model head."""
    mlm = _masked_language_model(encoder, tokenizer, folder) if config.mlm_weight else None
    return ContrastiveModel(encoder, config, mlm=mlm, tokenizer=tokenizer)


def _masked_language_model(encoder: Encoder, tokenizer: Any, folder: Path) -> nn.Module:
    """The folder's ``AutoModelForMaskedLM`` around our backbone, its output layer tied to our embeddings."""
    from transformers import AutoModelForMaskedLM

    if tokenizer.mask_token_id is None:
        raise TrainingError("--mlm-weight needs a tokenizer with a mask token; this one has none")
    try:
        with quiet_transformers():
            model, info = AutoModelForMaskedLM.from_pretrained(
                folder, config=encoder.config, dtype=torch.float32, output_loading_info=True
            )
    except (ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise TrainingError(f"--mlm-weight needs a masked language model: {reason}") from error
    own = dict(model.named_parameters())
    base = model.base_model_prefix
    if any(key in own and not key.startswith(f"{base}.") for key in info["missing_keys"]):
        say_once("--mlm-weight: the start model brings no masked-language-model head, so a new one is trained")
    setattr(model, base, encoder.backbone)
    model.tie_weights()
    return model  # type: ignore[no-any-return]
