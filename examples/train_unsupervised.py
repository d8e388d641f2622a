"""Unsupervised SimCSE on plain sentences: python train_unsupervised.py [SENTENCES.txt] [OUTPUT_DIR]"""

import sys
import tempfile
from pathlib import Path

from simcse_kit import SimCSE, TrainListener, evaluate_pairs, train_unsup
from simcse_kit.data import sample_pairs_path, sample_sentences_path

START = "all-MiniLM-L6-v2"


class Printer(TrainListener):
    """Print the metrics that the run logs."""

    def logged(self, step: int, metrics: dict[str, float]) -> None:
        print(step, {name: round(value, 4) for name, value in metrics.items()})


def score(model: SimCSE) -> float:
    """Spearman x 100 on the graded pairs of the sample."""
    return evaluate_pairs(model.encoder_fn(), sample_pairs_path()).scores["spearman"]


def main() -> None:
    sentences = sys.argv[1] if len(sys.argv) > 1 else sample_sentences_path()
    output_dir = Path(sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp()) / "model"
    # Nobody trained the CLS vector of MiniLM, so it stands for a raw encoder here.
    before = score(SimCSE(START, pooling="cls_before_pooler"))
    result = train_unsup(
        sentences,
        output_dir,
        model=START,
        pooling="cls_before_pooler",
        learning_rate=1e-4,  # for a small sample; the default is the paper's 3e-5
        eval_data=sample_pairs_path(),
        eval_steps=5,
        listener=Printer(),
    )
    after = score(SimCSE(output_dir))
    print(f"Spearman {before:.2f} -> {after:.2f} in {result.steps} steps; the model is in {output_dir}")


if __name__ == "__main__":
    main()
