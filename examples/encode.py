"""Encode sentences and compare them."""

from simcse_kit import SimCSE

SENTENCES = [
    "A man is playing the guitar.",
    "Somebody makes music on a guitar.",
    "The stock market fell sharply on Monday.",
]


def main() -> None:
    model = SimCSE("all-MiniLM-L6-v2")  # from the extra `offline`, or from the Hugging Face hub
    vectors = model.encode(SENTENCES, normalize_embeddings=True)
    print(f"{len(vectors)} vectors of {vectors.shape[1]} numbers")
    print(model.similarity(vectors, vectors))
    print(f"two strings: {model.similarity(SENTENCES[0], SENTENCES[1]):.3f}")


if __name__ == "__main__":
    main()
