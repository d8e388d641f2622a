"""The model itself: backbone, pooling, and the modules after the pooled vector."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from simcse_kit.encoder.backbone import PACKED, first_position
from simcse_kit.encoder.padding import Packing
from simcse_kit.encoder.poolers import OUTPUT, POOLERS, Pooler
from simcse_kit.encoder.pooling import last_occurrence, pool
from simcse_kit.errors import ModelError


class Dense(nn.Module):
    """A linear layer and its activation, as in sentence-transformers' Dense: (B, D) -> (B, D')."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        activation: str = "Tanh",
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(in_features, out_features, bias=bias)
        self.activation: nn.Module = getattr(nn, activation)()
        self.use_residual = residual
        self.residual = (
            nn.Linear(in_features, out_features, bias=False) if residual and in_features != out_features else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) -> (B, D')."""
        out: Tensor = self.activation(self.linear(x))
        if self.use_residual:
            out = out + (x if self.residual is None else self.residual(x))
        return out

    @property
    def is_pooler(self) -> bool:
        """Whether a BERT-like ``pooler.dense`` can store it: square, with a bias, without adapters."""
        linear = self.linear
        return linear.in_features == linear.out_features and linear.bias is not None and not self.use_residual

    @classmethod
    def fresh(cls, features: int, *, std: float) -> Dense:
        """A new dense + tanh head, initialised like BERT's: normal weights of standard deviation ``std``, zero bias."""
        dense = cls(features, features)
        nn.init.normal_(dense.linear.weight, std=std)
        nn.init.zeros_(dense.linear.bias)
        return dense


def projection_head(width: int) -> nn.Sequential:
    """SimCLR's g (Chen et al., 2020, section 4.2), used before the loss in training only: (B, D) -> (B, D)."""
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))


class Normalize(nn.Module):
    """Scale each vector to length 1: (B, D) -> (B, D)."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) -> (B, D)."""
        return nn.functional.normalize(x, dim=-1)


class Encoder(nn.Module):
    """Backbone, pooling and ``post`` (Dense, Normalize): token ids (B, L) to sentence vectors (B, D).

    If the pooling has a head, the first module of ``post`` is its dense + tanh.
    """

    def __init__(
        self,
        backbone: nn.Module,
        pooling: str,
        post: list[nn.Module],
        *,
        pooler_prefix: str | None = None,
        spare_pooler: dict[str, Tensor] | None = None,
        mask_id: int | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.pooling = pooling  # its name in records
        self.pooler: Pooler = POOLERS.get(pooling)
        self.pooler_prefix = pooler_prefix  # where this architecture stores the head in its own weights
        self.spare_pooler = spare_pooler  # of the start model; not used here
        self.pads = True  # False: padding changes this backbone's vectors, so a batch holds texts of equal length
        self.mask_id = mask_id  # the tokenizer's mask token, for a pooling that reads it
        self._first_position = first_position(backbone)
        self.run: Callable[..., Any] | None = None  # runs the backbone in training steps; None: the backbone itself
        self.post = nn.ModuleList(post)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "pooler"}  # a user's may be a lambda

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self.pooler = POOLERS.get(self.pooling)

    def version(self) -> tuple[object, ...]:
        """`version_of` all weights and buffers."""
        return version_of((*self.parameters(), *self.buffers()))

    @property
    def config(self) -> Any:
        """The backbone's transformers config."""
        return self.backbone.config

    @property
    def hidden_size(self) -> int:
        """Dimension D of the token states."""
        return hidden_size(self.config)

    @property
    def dimension(self) -> int:
        """Dimension of the sentence vector."""
        sizes = [module.linear.out_features for module in self.post if isinstance(module, Dense)]
        return int(sizes[-1]) if sizes else self.hidden_size

    @property
    def head(self) -> Dense | None:
        """The dense + tanh of a pooling with a head, else None."""
        return self.post[0] if self.pooler.head else None  # type: ignore[return-value]

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        pool_mask: Tensor | None = None,
        *,
        normalize: bool = True,
        position_ids: Tensor | None = None,
        packing: Packing | None = None,
        run: Callable[..., Any] | None = None,
    ) -> Tensor:
        """Ids (B, L) and mask (B, L), or None without padding, to vectors (B, D).

        ``pool_mask`` (B, L) restricts the pooling further, to exclude a prompt. ``normalize=False`` skips a final
        Normalize: a head for the loss needs the unscaled vector. ``position_ids`` (B, L) or None for 0, 1, ...
        ``packing``: position of the padding, which is skipped inside `speed.packed.packed_attention`. ``run`` is called
        instead of the backbone.
        """
        if run is None:
            steps = self.training and torch.is_grad_enabled()
            run = self.run if steps and self.run is not None else self.backbone
        inner = self.pooler.layers != OUTPUT
        extra: dict[str, Any] = {"output_hidden_states": True} if inner else {}
        if position_ids is not None:
            extra["position_ids"] = position_ids
        if self.pooler.mask_token:
            pool_mask = self._mask_token(input_ids)
        if packing is not None and self.config._attn_implementation == PACKED:
            from simcse_kit.encoder.speed.packed import run_packed  # transformers takes a second to import

            assert self._first_position is not None
            states = run_packed(run, self._first_position, input_ids, packing, **extra)
        else:
            output = run(input_ids=input_ids, attention_mask=attention_mask, return_dict=True, **extra)
            states = output.hidden_states if inner else (output.last_hidden_state,)
        kept = attention_mask if pool_mask is None else pool_mask
        vectors = pool(self.pooler, states, kept) if inner else self.pooler.pool(states[0], kept)
        for i, module in enumerate(self.post):
            if normalize or i + 1 < len(self.post) or not isinstance(module, Normalize):
                vectors = module(vectors)
        return vectors

    def _mask_token(self, input_ids: Tensor) -> Tensor:
        """Mask of the template's mask token, the last one of each row: (B, L) -> (B, L)."""
        assert self.mask_id is not None
        mask = last_occurrence(input_ids, self.mask_id)
        if not torch.compiler.is_compiling() and not mask.any(dim=1).all():
            raise ModelError(
                f"pooling {self.pooling}: a text has no mask token. The tokenizer needs a template with one: "
                'simcse_kit.encoder.template.set_template(model.tokenizer, \'This sentence : "[X]" means '
                "[MASK].')"
            )
        return mask


def hidden_size(config: Any) -> int:
    """Dimension of the token states, from any transformers config."""
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    for name in ("hidden_size", "d_model", "dim"):
        if isinstance(getattr(text, name, None), int):
            return int(getattr(text, name))
    raise AttributeError(f"{type(config).__name__} names no hidden size")


_steps = 0  # of all optimizers, since the first call of `version_of`


def _count_step(*_: object) -> None:
    global _steps
    _steps += 1


@functools.cache
def _count_steps() -> None:
    """Fused optimizers change weights without a new ``_version``; the hook is installed at first use, not at import."""
    register_optimizer_step_post_hook(_count_step)


def version_of(weights: Iterable[Tensor]) -> tuple[object, ...]:
    """A value that changes when a weight is modified or replaced, and after every optimizer step.

    Copies of weights and fingerprints are valid as long as it does not change.
    """
    _count_steps()
    return (_steps, *((weight._version, weight.data_ptr()) for weight in weights))
