"""Text results for examples/contrastive_learning.md: python eval/contrastive_learning.py

Cosines of pairs of views of the package's sample sentences, by MiniLM's CLS vector before any training: another dropout
mask, some words left out, another sentence. Writes results/contrastive_learning.json and examples/images/*.svg.
"""

from __future__ import annotations

import numpy as np
import torch
from lib.arguments import parser
from lib.record import HERE, load, write_result
from numpy.typing import NDArray
from torch.nn.functional import cosine_similarity

from simcse_kit import SimCSE
from simcse_kit.data import read_sentences, sample_sentences_path
from simcse_kit.encoder.padding import pad
from simcse_kit.objectives.augmentations._words import vocabulary
from simcse_kit.objectives.augmentations.deletion import word_deletion
from simcse_kit.report.charts import GeometryPath, GeometryStep, cosine_histograms, geometry_plane

IMAGES = HERE.parent / "examples" / "images"
POOLING = "cls_before_pooler"
RATE = 0.1  # share of words left out, as in SimCSE's table 1
BATCH = 64
RUNS = {
    "unsup-1": "SimCSE, dropout alone",
    "simclr-1": "SimCLR on text, words left out too",
    "sup-1": "SimCSE with NLI labels",
}


def vectors(model: SimCSE, rows: list[NDArray[np.int32]]) -> torch.Tensor:
    """Vectors of token ids, in the encoder's current mode: (N, D)."""
    with torch.no_grad():
        parts = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
        return torch.cat([model.encoder(*pad(part, model.tokenizer.pad_token_id)) for part in parts])


def main() -> None:
    """Measure, draw, write."""
    parser(__doc__).parse_args()
    torch.manual_seed(0)
    model = SimCSE("all-MiniLM-L6-v2", pooling=POOLING, device="cpu")
    sentences = list(dict.fromkeys(read_sentences(sample_sentences_path()).column(0)))
    plain = model.tokenize(sentences).rows(range(len(sentences)))
    rng = np.random.default_rng(0)
    words = vocabulary(model.tokenizer)
    shorter = [word_deletion(ids, words, rng, rate=RATE) for ids in plain]
    changed = np.array([len(own) < len(ids) for own, ids in zip(shorter, plain, strict=True)])
    model.encoder.eval()
    quiet, cut = vectors(model, plain), vectors(model, shorter)
    model.encoder.train()
    first, second = vectors(model, plain), vectors(model, plain)
    pairs = {
        "the same sentence, another dropout mask": cosine_similarity(first, second).numpy(),
        "the same sentence, some words left out": cosine_similarity(quiet, cut).numpy()[changed],
        "another sentence": cosine_similarity(quiet, quiet.roll(1, 0)).numpy(),
    }
    (IMAGES / "views.svg").write_text(cosine_histograms(pairs).svg(), encoding="utf-8")
    paths = [
        GeometryPath(
            name,
            [
                GeometryStep(line["step"], line["eval_alignment"], line["eval_uniformity"])
                for line in load(f"recipes/{run}")["curve"]
            ],
            load(f"recipes/{run}")["best_step"],
        )
        for run, name in RUNS.items()
    ]
    (IMAGES / "plane.svg").write_text(geometry_plane(paths).svg(), encoding="utf-8")
    print(
        write_result(
            "contrastive_learning",
            {
                "sentences": len(sentences),
                "pooling": POOLING,
                "cosines": {
                    name: {"median": float(np.median(own)), "lowest": float(own.min()), "highest": float(own.max())}
                    for name, own in pairs.items()
                },
            },
        )
    )


if __name__ == "__main__":
    main()
