"""Checkpoints as the original project leaves them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file


def write_original(base: Path, folder: Path, kind: str, *, file: str = "model.safetensors") -> dict[str, torch.Tensor]:
    """A training checkpoint as princeton-nlp/SimCSE's ``train.py`` leaves it; returns its state dict."""
    shutil.copytree(base, folder)
    state = {
        f"{kind}.{name}": tensor
        for name, tensor in load_file(folder / "model.safetensors").items()
        if "pooler" not in name
    }
    generator = torch.Generator().manual_seed(5)
    state["mlp.dense.weight"] = torch.randn(32, 32, generator=generator) / 5
    state["mlp.dense.bias"] = torch.randn(32, generator=generator) / 5
    state["lm_head.bias"] = torch.zeros(7)
    state["lm_head.transform.dense.weight"] = torch.zeros(32, 32)
    state[f"{kind}.embeddings.position_ids"] = torch.arange(64).unsqueeze(0)
    (folder / "model.safetensors").unlink()
    if file.endswith(".bin"):
        torch.save(state, folder / file)
    else:
        save_file(state, folder / file, metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["architectures"] = [{"bert": "BertForCL", "roberta": "RobertaForCL"}[kind]]
    (folder / "config.json").write_text(json.dumps(config))
    return state
