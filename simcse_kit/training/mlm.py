"""The masked-language-model term of the loss (Gao et al., 2021, section 4; Devlin et al., 2019)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from simcse_kit.distributed import total
from simcse_kit.encoder.backbone import quiet_transformers
from simcse_kit.encoder.modules import Encoder
from simcse_kit.errors import TrainingError, say_once
from simcse_kit.launch import world
from simcse_kit.training.batches import Group

_MLM_PROBABILITY = 0.15  # share of tokens to predict (Devlin et al., 2019)


class Masked(NamedTuple):
    """A group of sentences with some tokens masked."""

    input_ids: Tensor  # (b, L)
    attention_mask: Tensor | None  # (b, L)
    labels: Tensor  # (b, L), -100 for tokens that are not predicted
    weight: float  # weight of the group's mean in the batch: its share of the predicted tokens


class MaskedLanguageModel(nn.Module):
    """A masked-language-model head on the encoder's own backbone."""

    special_ids: Tensor

    def __init__(self, model: nn.Module, tokenizer: Any) -> None:
        super().__init__()
        self.model = model
        self.mask_id = tokenizer.mask_token_id
        self.vocab_size = len(tokenizer)
        self.register_buffer("special_ids", torch.tensor(sorted(tokenizer.all_special_ids)), persistent=False)

    def mask(self, groups: list[Group]) -> list[Masked]:
        """Mask the groups of a batch; drops groups without a token to predict."""
        drawn = []
        for group in groups:
            ids, mask = group["input_ids"], group.get("attention_mask")
            fixed = torch.isin(ids, self.special_ids)
            if mask is not None:
                fixed |= mask == 0
            masked, labels = mask_tokens(ids, fixed, self.mask_id, self.vocab_size)
            drawn.append((Masked(masked, mask, labels, 0.0), int((labels != -100).sum())))
        mine = sum(count for _, count in drawn)
        everyone = max(total(mine), 1) / world().size  # DDP averages over ranks
        return [group._replace(weight=count / everyone) for group, count in drawn if count]

    def forward(self, group: Masked) -> Tensor:
        """The group's part of the mean loss over all predicted tokens of all ranks: a scalar."""
        output = self.model(input_ids=group.input_ids, attention_mask=group.attention_mask, labels=group.labels)
        loss: Tensor = output.loss.float() * group.weight
        return loss


def mask_tokens(ids: Tensor, fixed: Tensor, mask_id: int, vocab_size: int) -> tuple[Tensor, Tensor]:
    """BERT's masking (Devlin et al., 2019, 3.1): 15 % of the tokens are labels; of these, 80 % become the mask token,
    10 % a random token, 10 % stay. ids and ``fixed`` (tokens never masked) are (B, L). Returns masked ids and labels,
    both (B, L), with -100 for tokens that are not predicted.
    """
    chosen = (torch.rand(ids.shape, device=ids.device) < _MLM_PROBABILITY) & ~fixed
    labels = torch.where(chosen, ids, -100)
    action = torch.rand(ids.shape, device=ids.device)
    other = torch.randint_like(ids, vocab_size)
    masked = torch.where(chosen & (action < 0.8), mask_id, ids)
    return torch.where(chosen & (action >= 0.9), other, masked), labels


def masked_language_model(encoder: Encoder, tokenizer: Any, folder: Path) -> MaskedLanguageModel:
    """The folder's ``AutoModelForMaskedLM`` with our backbone; its output layer is tied to our embeddings."""
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
        say_once("--mlm-weight: the start model has no masked-language-model head; a new one is trained")
    setattr(model, base, encoder.backbone)
    model.tie_weights()
    return MaskedLanguageModel(model, tokenizer)
