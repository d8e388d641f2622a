"""Encoders by size: what their linear layers compute, random ones to measure, and what a device can reach."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import NamedTuple

import torch

from simcse_kit.encoder.known import packaged_minilm

PEAK_TFLOPS = {"H100": 989.0, "H200": 989.0, "A100": 312.0}  # bfloat16 without sparsity, by the maker's data sheets


class Size(NamedTuple):
    """Of a BERT-like encoder's layers."""

    layers: int
    width: int
    inner: int  # width of the feed-forward block

    @classmethod
    def of(cls, model: str | Path) -> Size:
        """Of a model in a folder."""
        config = json.loads((Path(model) / "config.json").read_text(encoding="utf-8"))
        return cls(config["num_hidden_layers"], config["hidden_size"], config["intermediate_size"])

    @property
    def mflop(self) -> float:
        """Of the linear layers, a token's forward pass; a training step computes three times as much."""
        return 2 * self.layers * (4 * self.width**2 + 2 * self.width * self.inner) / 1e6


SIZES = {"minilm": Size(6, 384, 1536), "base": Size(12, 768, 3072)}


def random_bert(folder: Path, size: Size) -> str:
    """A BERT with random weights, on which speed does not depend, and the tokenizer of MiniLM, which is BERT's."""
    from transformers import AutoTokenizer, BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(num_hidden_layers=size.layers, hidden_size=size.width, intermediate_size=size.inner)
    BertModel(config).save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(packaged_minilm())
    tokenizer.model_max_length = 512
    tokenizer.save_pretrained(folder)
    return str(folder)


def limit(dtype: torch.dtype, size: Size, *, rows: int = 2048, device: str = "cpu") -> float:
    """GFLOP/s of the matrix product (int8: as many operations), the best of several shapes that the model has."""
    best = 0.0
    multiply = torch._int_mm if dtype is torch.int8 else torch.matmul
    for width in (size.width, size.inner):
        shapes = ((rows, size.width), (size.width, width))
        a, b = ((20 * torch.randn(shape, device=device)).to(dtype) for shape in shapes)
        for _ in range(8):
            began = time.perf_counter()
            for _ in range(20):
                multiply(a, b)
            if device == "cuda":
                torch.cuda.synchronize()
            best = max(best, 20 * 2 * a.numel() * width / (time.perf_counter() - began) / 1e9)
    return best


def shares(tokens_per_second: float, mflop: float, limit_gflops: float, device: str) -> dict[str, float]:
    """What a speed is of the matrix product measured here, and of the data sheet's peak where that is known."""
    reached = tokens_per_second * mflop / 1e3  # GFLOP/s
    found = {"tokens_per_second": tokens_per_second, "share_of_the_matrix_product": reached / limit_gflops}
    name = torch.cuda.get_device_name() if device == "cuda" else ""
    peak = next((tflops for part, tflops in PEAK_TFLOPS.items() if part in name), None)
    return found if peak is None else found | {"share_of_the_peak": reached / 1e3 / peak}
