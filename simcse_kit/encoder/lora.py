"""Training larger backbones: LoRA adapters (Hu et al., 2021) with peft, and recomputed activations."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from simcse_kit.encoder.backbone import quiet_transformers
from simcse_kit.encoder.hub import resolve
from simcse_kit.encoder.known import MINILM, packaged_minilm
from simcse_kit.encoder.modules import Encoder
from simcse_kit.errors import ModelError, TrainingError, require_extra
from simcse_kit.files import read_json, write_json

ADAPTER = "adapter_config.json"
_WEIGHTS = "adapter_model.safetensors"
_SNAPSHOT = re.compile(r".*/models--(?P<name>[^/]+)/snapshots/(?P<commit>[0-9a-f]{40})")  # in the hub's cache


class Base(NamedTuple):
    """The base model of adapters."""

    name: str  # on the hub, or an absolute path
    revision: str | None  # commit on the hub, None if unknown


def add_lora(encoder: Encoder, rank: int, *, alpha: int | None = None, dropout: float = 0.0) -> None:
    """Add new adapters of ``rank`` to every linear layer of the backbone; afterwards only they and ``post`` train.

    All layers, not only attention's: with fewer, LoRA is worse than full fine-tuning (Dettmers et al., 2023, section
    4). Vectors do not change until the first step. ``alpha`` scales the adapters by alpha / rank; None is 2 * rank, the
    ratio of E5-Mistral (Wang et al., 2023) and of LLM2Vec's SimCSE (BehnamGhader et al., 2024).

    Raises:
        MissingExtraError: peft is not installed.
        ModelError: the installed transformers and peft are not compatible.
        TrainingError: the backbone already has adapters, or ``rank`` is not positive.
    """
    require_extra("lora", ["peft"], "LoRA")
    if rank < 1:
        raise TrainingError(f"the rank of LoRA adapters must be a positive integer; got {rank}")
    if has_lora(encoder):
        raise TrainingError("the model already has LoRA adapters: train these, or merge them into its weights first")
    import peft
    import transformers
    from peft import LoraConfig
    from transformers.pytorch_utils import Conv1D

    backbone: Any = encoder.backbone
    config = LoraConfig(
        r=rank,
        lora_alpha=2 * rank if alpha is None else alpha,
        lora_dropout=dropout,
        target_modules="all-linear",
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in backbone.modules()),  # transposed weights of GPT-2
    )
    try:
        backbone.add_adapter(config)
    except ValueError as error:  # transformers 5.24 requires a peft that was not released at that time
        if "PEFT" not in str(error):
            raise
        raise ModelError(
            f"LoRA: transformers {transformers.__version__} and peft {peft.__version__} are not compatible: "
            f"{error} Install a newer peft, or transformers<5.24"
        ) from error
    if backbone.name_or_path:
        config.base_model_name_or_path, config.revision = _base_of(Path(backbone.name_or_path))


def merge_lora(encoder: Encoder) -> None:
    """Add the adapters to the backbone's weights, which all train again; vectors do not change."""
    if not has_lora(encoder):
        raise ModelError("the model has no LoRA adapters to merge")
    backbone: Any = encoder.backbone
    for name, layer in _lora_layers(backbone).items():
        layer.merge()
        base = layer.get_base_layer()
        backbone.set_submodule(name, base)
        torch.autograd.graph.increment_version(list(base.parameters()))  # peft does not update it; fingerprints read it
    backbone.requires_grad_(True)
    del backbone.peft_config
    backbone._hf_peft_config_loaded = False
    backbone.name_or_path = ""  # no folder holds these weights: new adapters could not name their base


def has_lora(encoder: Encoder) -> bool:
    """Whether the backbone has adapters."""
    return bool(getattr(encoder.backbone, "_hf_peft_config_loaded", False))


def lora_scales(encoder: Encoder) -> dict[str, float]:
    """Scale of each adapter's product, by layer: vectors depend on it, and no weight stores it."""
    if not has_lora(encoder):
        return {}
    return {name: sum(layer.scaling.values()) for name, layer in _lora_layers(encoder.backbone).items()}


def set_gradient_checkpointing(encoder: Encoder) -> None:
    """Keep only each layer's input in training and recompute the rest for the gradient (Chen et al., 2016).

    Dropout draws the same masks again, so gradients are equal. Raises a `TrainingError` if the backbone does not
    support it.
    """
    backbone: Any = encoder.backbone
    if not backbone.supports_gradient_checkpointing:
        raise TrainingError(f"{type(backbone).__name__} does not support gradient checkpointing: train without it")
    # the new name appeared late in transformers 5; the old one warns since then
    enable = getattr(backbone, "activation_checkpointing_enable", None) or backbone.gradient_checkpointing_enable
    enable({"use_reentrant": False})


# Folders


def base_folder(folder: Path, *, local_files_only: bool = False, trust_remote_code: bool = False) -> Path:
    """Folder of a model's backbone: its own, or that of the base model named by its adapters."""
    if not (folder / ADAPTER).is_file():
        return folder
    require_extra("lora", ["peft"], f"{folder} holds adapters; loading them")
    if (folder / "config.json").is_file():  # a complete model with its adapters
        return folder
    values = read_json(folder / ADAPTER, ModelError)
    if values.get("peft_type") != "LORA":
        raise ModelError(f"{folder / ADAPTER}: adapters of type {values.get('peft_type')} are not supported, only LORA")
    base = Base(values.get("base_model_name_or_path") or "", values.get("revision"))
    try:
        return resolve(
            base.name,
            revision=base.revision,
            local_files_only=local_files_only,
            trust_remote_code=trust_remote_code,
        ).folder
    except ModelError as error:
        raise ModelError(
            f"{folder} holds LoRA adapters of the base model {base.name!r}, which is missing: {error}. Restore "
            f"it, or set base_model_name_or_path in {folder / ADAPTER} to its new path"
        ) from error


def load_adapter(backbone: Any, folder: Path) -> None:
    """Add a folder's adapters to its base model, trainable. Raises a `ModelError` for weights that do not fit."""
    try:
        with quiet_transformers():
            info = backbone.load_adapter(str(folder), is_trainable=True)
    except Exception as error:  # peft, transformers and safetensors raise their own errors
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"{folder}: cannot load the adapters on their base model: {reason}") from error
    wrong = sorted({*info.missing_keys, *info.unexpected_keys})
    if wrong:
        raise ModelError(
            f"{folder}: the adapters do not fit their base model: {len(wrong)} weights are missing or unknown, "
            f"such as {wrong[0]}"
        )
    backbone.float()


def write_adapter(folder: Path, backbone: Any) -> None:
    """Write only the adapters, in peft's files, with name and revision of the base model."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    name = backbone.active_adapters()[0]
    config = backbone.peft_config[name]
    if not config.base_model_name_or_path:
        raise ModelError(
            "these adapters belong to weights that no folder holds: merge them, or save the model before "
            "adding adapters and load it from there"
        )
    layers = sorted(_lora_layers(backbone))  # full names: peft's short forms would match the pooler too
    write_json(folder / ADAPTER, config.to_dict() | {"target_modules": layers})
    state = get_peft_model_state_dict(backbone, adapter_name=name, save_embedding_layers=False)
    save_file(
        {f"base_model.model.{key}": tensor.detach().cpu().contiguous() for key, tensor in state.items()},
        folder / _WEIGHTS,
        metadata={"format": "pt"},
    )


def check_target(encoder: Encoder, target: Path) -> None:
    """Raise an error before adapters are saved in a complete model's folder, or the reverse: readers would mix them."""
    there, new = ("a complete model", "adapters") if has_lora(encoder) else ("adapters", "a complete model")
    if (target / ("config.json" if has_lora(encoder) else ADAPTER)).is_file():
        raise ModelError(
            f"{target} holds {there}, and {new} in the same folder would be read together with it: name another folder"
        )


def _lora_layers(backbone: nn.Module) -> dict[str, Any]:
    from peft.tuners.lora import LoraLayer

    return {name: module for name, module in backbone.named_modules() if isinstance(module, LoraLayer)}


def _base_of(folder: Path) -> Base:
    """Public name of a backbone's folder: the hub's, with the commit, if it came from the hub."""
    folder = folder.absolute()
    snapshot = _SNAPSHOT.fullmatch(folder.as_posix())
    if snapshot:
        return Base(snapshot["name"].replace("--", "/"), snapshot["commit"])
    return Base(MINILM if folder == packaged_minilm() else str(folder), None)
