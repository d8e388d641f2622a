"""Supervised SimCSE on triplets: python train_supervised.py [TRIPLETS.csv] [OUTPUT_DIR]

Each row has a sentence, one that follows from it, and one that contradicts it (the hard negative), as in NLI data.
"""

import sys
import tempfile
from pathlib import Path

from simcse_kit import SimCSE, train_sup

TRIPLETS = [
    ("A man plays the guitar.", "Somebody makes music.", "The man is asleep."),
    ("Two children run in the park.", "Kids are outside.", "The children sit in class."),
    ("The train was late again.", "The train did not come on time.", "The train arrived early."),
    ("She bought a red bicycle.", "She got herself a bike.", "She sold her bicycle."),
    ("The soup is too hot to eat.", "The soup has to cool down.", "The soup is cold."),
    ("He passed the exam.", "He did well in the test.", "He failed the exam."),
    ("A dog chases the ball.", "An animal runs after a toy.", "The dog lies on the sofa."),
    ("The shop opens at nine.", "You can go in from nine o'clock.", "The shop is closed for good."),
]


def main() -> None:
    data = sys.argv[1] if len(sys.argv) > 1 else TRIPLETS
    output_dir = Path(sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp()) / "model"
    result = train_sup(
        data,
        output_dir,
        model="all-MiniLM-L6-v2",
        pooling="cls_before_pooler",
        batch_size=8 if data is TRIPLETS else 128,
        epochs=3 if data is TRIPLETS else 1,
    )
    model = SimCSE(output_dir)
    anchor, positive, negative = TRIPLETS[5]
    print(f"{result.steps} steps; the model is in {output_dir}")
    print(f"{anchor!r} with {positive!r}: {model.similarity(anchor, positive):.3f}")
    print(f"{anchor!r} with {negative!r}: {model.similarity(anchor, negative):.3f}")


if __name__ == "__main__":
    main()
