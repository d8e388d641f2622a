"""What measurements compare with: peers by their interpreters, and sentence-transformers' trainer, set as ours is."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from simcse_kit.encoder.known import packaged_minilm


def named_python(names: Collection[str]) -> Callable[[str], tuple[str, str]]:
    """What reads NAME=PYTHON from the command line: one of the names, and the interpreter that has the peer."""

    def read(value: str) -> tuple[str, str]:
        name, _, python = value.partition("=")
        if name not in names or not python:
            raise argparse.ArgumentTypeError(f"NAME=PYTHON with a NAME of {', '.join(names)}; got {value!r}")
        return name, python

    return read


def peer_trainer(
    columns: dict[str, list[str]],
    output_dir: Path,
    *,
    batch_size: int,
    learning_rate: float,
    seed: int,
    model: str | None = None,
    bf16: bool = False,
    device: str = "cpu",
    dev: Any = None,
    eval_steps: int = 125,
    max_steps: int = -1,
    lora_rank: int | None = None,
) -> Any:
    """Its trainer for MiniLM's CLS vector, ``MultipleNegativesRankingLoss`` (scale 20): one epoch, 32 tokens at most.

    ``columns``: anchor, positive[, negative]; for SimCSE without labels the anchor once more is the positive. ``dev``:
    `ScoredPairs` that choose the checkpoint. ``lora_rank``: adapters on every linear layer train alone, as ours.
    """
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import set_seed

    set_seed(seed)
    transformer = Transformer(model or str(packaged_minilm()), max_seq_length=32)
    pooling = Pooling(transformer.get_embedding_dimension(), pooling_mode="cls")
    student = SentenceTransformer(modules=[transformer, pooling], device=device)
    if lora_rank is not None:
        from peft import LoraConfig

        student.add_adapter(LoraConfig(r=lora_rank, lora_alpha=2 * lora_rank, target_modules="all-linear"))
    evaluates: dict[str, Any] = {}
    if dev is not None:
        evaluates = {
            "eval_strategy": "steps",
            "eval_steps": eval_steps,
            "save_strategy": "steps",
            "save_steps": eval_steps,
            "save_total_limit": 1,
            "load_best_model_at_end": True,
            "metric_for_best_model": "eval_dev_spearman_cosine",
        }
    else:
        evaluates = {"save_strategy": "no"}
    return SentenceTransformerTrainer(
        model=student,
        args=SentenceTransformerTrainingArguments(
            output_dir=str(output_dir),
            num_train_epochs=1,
            max_steps=max_steps,
            per_device_train_batch_size=batch_size,
            learning_rate=learning_rate,
            seed=seed,
            bf16=bf16,
            use_cpu=device == "cpu",
            report_to="none",
            disable_tqdm=True,
            **evaluates,
        ),
        train_dataset=Dataset.from_dict(columns),
        loss=MultipleNegativesRankingLoss(student, scale=20.0),
        evaluator=None
        if dev is None
        else EmbeddingSimilarityEvaluator(dev.first, dev.second, list(dev.gold), name="dev", write_csv=False),
    )
