"""Baselines for `adapt`, besides this package's own objectives."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from simcse_kit import SimCSE
from simcse_kit.encoder.known import packaged_model
from simcse_kit.evaluation.metrics import unit
from simcse_kit.search.vectors import exact_nearest
from simcse_kit.types import EncodeFn, Vectors

NEAR = 20  # texts in an average, with the text itself
PAIRED = 5  # number of nearest texts from which a positive is drawn
BATCH, RATE, LENGTH = 64, 3e-5, 64


def neighbour_pairs(model: SimCSE, texts: Sequence[str], seed: int) -> list[tuple[str, str]]:
    """Each text with a random one of its nearest."""
    vectors = unit(model.encode(list(texts)))
    near = exact_nearest(vectors, vectors, PAIRED + 1).rows
    drawn = np.random.default_rng(seed).integers(PAIRED, size=len(texts))
    others = [row[row != i] for i, row in enumerate(near)]  # a text is usually its own nearest
    return [(text, texts[others[i][drawn[i]]]) for i, text in enumerate(texts)]


def averaged_index(encode: EncodeFn, searched: Sequence[str]) -> EncodeFn:
    """Without training: every vector is averaged with its nearest among the searched texts, weights cosine ^ 3."""
    distinct = list(dict.fromkeys(searched))
    corpus = unit(np.asarray(encode(distinct), np.float32))

    def averaged(texts: Sequence[str]) -> Vectors:
        vectors = unit(np.asarray(encode(texts), np.float32))
        found = exact_nearest(vectors, corpus, NEAR)
        weights = np.maximum(found.scores, 0) ** 3
        summed = vectors + np.einsum("bk,bkd->bd", weights, corpus[found.rows])
        return unit(summed)

    return averaged


def _one_epoch(folder: Path, batch_size: int) -> dict[str, Any]:
    """Arguments of transformers' trainer: one epoch that saves nothing on the way."""
    import torch

    return {
        "output_dir": str(folder / "run"),
        "per_device_train_batch_size": batch_size,
        "num_train_epochs": 1,
        "learning_rate": RATE,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "bf16": True,
        "use_cpu": not torch.cuda.is_available(),
    }


def masked_language_model(start: str, texts: Sequence[str], folder: Path, seed: int) -> SimCSE:
    """Continued pretraining: 15 % of the tokens masked, one epoch; then the start model's pooling."""
    from datasets import Dataset
    from transformers import (
        AutoModelForMaskedLM,
        AutoTokenizer,
        DataCollatorForLanguageModeling,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    set_seed(seed)
    place = str(packaged_model(start) or start)
    tokenizer = AutoTokenizer.from_pretrained(place)
    model = AutoModelForMaskedLM.from_pretrained(place)
    rows = Dataset.from_dict(dict(tokenizer(list(texts), truncation=True, max_length=LENGTH)))
    Trainer(
        model=model,
        args=TrainingArguments(**_one_epoch(folder, BATCH)),
        train_dataset=rows,
        data_collator=DataCollatorForLanguageModeling(tokenizer),
    ).train()
    model.base_model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    return SimCSE(folder / "model", pooling="mean")


def denoising(start: str, texts: Sequence[str], folder: Path, seed: int) -> Any:
    """TSDAE (Wang et al., 2021) with sentence-transformers: 60 % of the words deleted, encoder and decoder tied."""
    import torch
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import DenoisingAutoEncoderLoss
    from transformers import set_seed

    set_seed(seed)
    place = str(packaged_model(start) or start)
    model = SentenceTransformer(place, device="cuda" if torch.cuda.is_available() else "cpu")
    drawn = random.Random(seed)

    def damaged(text: str) -> str:
        words = text.split()
        kept = [word for word in words if drawn.random() > 0.6]
        return " ".join(kept or words[:1])

    rows = Dataset.from_dict({"damaged": [damaged(text) for text in texts], "text": list(texts)})
    SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(**_one_epoch(folder, BATCH // 2)),
        train_dataset=rows,
        loss=DenoisingAutoEncoderLoss(model, decoder_name_or_path=place, tie_encoder_decoder=True),
    ).train()
    model.save(str(folder / "model"))
    return SimCSE(folder / "model")
