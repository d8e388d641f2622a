"""Tests of a backbone with a few short texts, before anything is encoded or trained.

Backbones of the families in `SOUND` are not tested: their vectors do not depend on the batch, and they work in
bfloat16.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cosine_similarity

from simcse_kit.encoder.backbone import max_positions
from simcse_kit.encoder.cache import cache_folder
from simcse_kit.encoder.modules import Encoder
from simcse_kit.encoder.padding import pad
from simcse_kit.encoder.tokens import TokenTable
from simcse_kit.errors import ModelError, SimCSEKitError, say_once
from simcse_kit.files import read_json, staged_file, write_json

# fmt: off
SOUND = frozenset({
    "albert", "bert", "camembert", "data2vec-text", "deberta-v2", "distilbert", "electra", "ernie", "eurobert",
    "gemma", "gemma2", "gemma3_text", "gpt2", "llama", "mistral", "modernbert", "mpnet", "mt5", "nomic_bert",
    "qwen2", "qwen3", "rembert", "roberta", "t5", "umt5", "xlm-roberta", "xlnet",
})
# fmt: on
"""Model types that are known to work."""
_BESIDE = 1e-5  # 1 - cosine of a token's states alone and beside a longer text; more is not rounding
_HALF = 0.98  # lowest cosine of a text's vectors in bfloat16 and float32; sound models have above 0.999
_TEXTS = (
    "The train was late.",
    "Nobody knew why the first train to the sea was late again that morning, although it had left the city in time.",
)


def is_sound(encoder: Encoder) -> bool:
    """Whether the backbone is of a family that needs no test: its model type, in transformers' own code."""
    backbone = encoder.backbone
    return encoder.config.model_type in SOUND and type(backbone).__module__.startswith("transformers.")


def probe_tokens(encoder: Encoder, tokenizer: Any) -> TokenTable:
    """Token ids of a short text and a longer one, cut at the backbone's positions.

    Not with `tokenize`, which would give a notice for a vocabulary of another language.
    """
    limit = max_positions(encoder.backbone)
    ids = tokenizer(list(_TEXTS), truncation=limit is not None, max_length=limit, verbose=False)["input_ids"]
    offsets = np.cumsum([0, *map(len, ids)], dtype=np.int64)
    return TokenTable(np.concatenate([np.asarray(row, dtype=np.int32) for row in ids]), offsets, 0)


def settle_padding(encoder: Encoder, tokenizer: Any, *, name: str, identity: Callable[[], str]) -> None:
    """Set ``encoder.pads``: whether a text's vector stays the same if a longer text in the batch adds padding.

    If it does not, batches hold texts of equal length, with a notice.

    Args:
        encoder: the encoder to test, in float32 and evaluation mode.
        tokenizer: tokenizer of the model.
        name: name of the model, for the notice.
        identity: the model's fingerprint, under which the answer is stored in the user's cache.

    Raises:
        ModelError: the backbone cannot encode a short text.
    """
    if is_sound(encoder):
        return
    if _attends_by_length(encoder.backbone):
        encoder.pads = False
        return
    import transformers

    path = cache_folder() / "padding" / f"{identity()}-{transformers.__version__}.json"
    try:
        cosine = float(read_json(path)["cosine"])
    except (OSError, SimCSEKitError, KeyError, TypeError, ValueError):  # not tested yet, or not readable
        cosine = beside_a_longer_one(encoder, probe_tokens(encoder, tokenizer), tokenizer.pad_token_id, name)
        _keep(path, cosine)
    encoder.pads = cosine > 1 - _BESIDE
    if not encoder.pads:
        say_once(
            f"{name}: with {type(encoder.backbone).__name__}, a text's vector changes beside a longer text "
            f"(cosine {cosine:.4f}), because not all padding is masked. So each batch holds texts of equal "
            "length here. sentence-transformers gives the same vectors with batch_size=1"
        )


def _attends_by_length(backbone: Any) -> bool:
    """Whether it is a BigBird, whose attention is sparse for long batches and full for short ones.

    After a short batch it stays full. Restore it, so that a text's vector does not depend on earlier texts.
    """
    if getattr(backbone, "attention_type", None) != "block_sparse":
        return False
    backbone.register_forward_pre_hook(_sparse_again)
    return True


def _sparse_again(backbone: Any, _: Any) -> None:
    backbone.set_attention_type("block_sparse")


def _keep(path: Any, cosine: float) -> None:
    """Store the answer; if the cache is not writable, the next load tests again."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with staged_file(path) as staging:
            write_json(staging / path.name, {"cosine": cosine})
    except OSError:
        return


def beside_a_longer_one(encoder: Encoder, tokens: TokenTable, pad_id: int, name: str) -> float:
    """The lowest cosine of a token's states in a short text alone and beside a longer one."""
    device = next(encoder.parameters()).device
    short, long = tokens.rows([0, 1])
    try:
        with left_as_it_was(encoder), torch.inference_mode():
            alone = _states(encoder, [short], pad_id, device)[0]
            beside = _states(encoder, [short, long], pad_id, device)[0, : len(short)]
    except Exception as error:  # the model's own code may raise any error
        raise ModelError(
            f"{name}: {type(encoder.backbone).__name__} cannot encode {_TEXTS[0]!r}: {_reason(error)}"
        ) from error
    return float(cosine_similarity(alone.double(), beside.double(), dim=-1).min().clamp(max=1))


def half_fault(encoder: Encoder, embed: Callable[[], Tensor], exact: Callable[[], Tensor]) -> str | None:
    """The fault of vectors (N, D) in bfloat16, compared with float32; None if there is none."""
    with left_as_it_was(encoder):
        try:
            whole = exact()
        except Exception:  # not a fault of bfloat16; encoding will report it
            return None
        try:
            half = embed()
        except Exception as error:
            return _reason(error)
    if not bool(torch.isfinite(half).all()):
        return "its vectors are not finite"
    cosine = float(cosine_similarity(half.double(), whole.double(), dim=-1).min())
    return None if cosine > _HALF else f"its vectors have a cosine of {cosine:.3f} with those in float32"


def half_fault_in_training(encoder: Encoder, tokenizer: Any) -> str | None:
    """The same for states in training mode with autocast."""
    if is_sound(encoder):
        return None
    device = next(encoder.parameters()).device
    rows, pad_id = probe_tokens(encoder, tokenizer).rows([0, 1]), tokenizer.pad_token_id
    with left_as_it_was(encoder), torch.no_grad():
        encoder.train()
        try:
            _states(encoder, rows, pad_id, device)
        except Exception:
            return None
        try:
            with torch.autocast(device.type, torch.bfloat16):
                states = _states(encoder, rows, pad_id, device)
        except Exception as error:
            return _reason(error)
    return None if bool(torch.isfinite(states).all()) else "its states are not finite"


@contextmanager
def left_as_it_was(encoder: Encoder) -> Iterator[None]:
    """Restore random generators and the mode of every module afterwards."""
    device = next(encoder.parameters()).device
    training = {module: module.training for module in encoder.modules()}
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng([torch.cuda.current_device()] if device.type == "cuda" else []):
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
            for module, mode in training.items():
                module.training = mode


def _states(encoder: Encoder, rows: list[NDArray[np.int32]], pad_id: int, device: torch.device) -> Tensor:
    """Last hidden states (B, L, D) of token sequences."""
    ids, mask = pad(rows, pad_id)
    backbone: Any = encoder.backbone
    given = None if mask is None else mask.to(device)
    states: Tensor = backbone(input_ids=ids.to(device), attention_mask=given, return_dict=True).last_hidden_state
    return states


def _reason(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
