"""A model as one ONNX graph, with pooling and head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from simcse_kit.encoder.backends.onnx import INPUTS, OUTPUTS, open_session, vectors_of
from simcse_kit.encoder.backends.tracing import Run, example, trace
from simcse_kit.encoder.modules import Encoder
from simcse_kit.errors import ModelError
from simcse_kit.model import SimCSE


class _Graph(nn.Module):
    """The module that becomes the graph."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """(B, L) each -> (B, L, D), (B, D)."""
        states: list[Tensor] = []

        def run(**given: Any) -> Any:
            output = self.encoder.backbone(**given)
            states.append(output.last_hidden_state)
            return output

        vectors = self.encoder(input_ids, attention_mask, run=run)
        return states[0], vectors


def write_onnx(model: SimCSE, path: Path) -> None:
    """Write the graph for any batch size and length, and check that onnxruntime gives the encoder's vectors.

    Raises:
        ModelError: the architecture cannot be exported, or the model leaves its prompts out of the pooling.
    """
    if not model.settings.include_prompt and any(model.prompts.values()):
        raise ModelError(
            f"{model.name} leaves its prompts out of the pooling, which an ONNX graph cannot do; use openvino"
        )
    path.parent.mkdir(parents=True, exist_ok=True)

    def convert(encoder: Encoder) -> tuple[None, Run]:
        free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
        torch.onnx.export(
            _Graph(encoder),
            example(encoder),
            path,
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            dynamic_shapes=(free, free),
            dynamo=True,
            external_data=_too_large(encoder),
            verbose=False,
        )
        session = open_session(path)
        return None, lambda given: vectors_of(session, {name: given[name] for name in INPUTS})

    trace(model.encoder, convert, name=model.name, tool="ONNX")


def _too_large(encoder: Encoder) -> bool:
    """Whether the weights need separate files: a graph's file may have at most 2 GiB."""
    return sum(weight.numel() * weight.element_size() for weight in encoder.parameters()) > 1 << 30
