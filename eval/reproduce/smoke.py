"""Stand-ins for the downloads of `run.py`: a two-layer random model and the package's sample, in the same layouts."""

from __future__ import annotations

import csv
from pathlib import Path

import torch

from simcse_kit.data import read_scored_pairs, read_sentences, sample_pairs_path, sample_sentences_path
from simcse_kit.evaluation.sts import SUBSETS

_PAIRS = read_scored_pairs(sample_pairs_path())


def make_model(kind: str, folder: Path) -> Path:
    """A random model of an architecture, with a tokenizer built from the sample."""
    from tokenizers import BertWordPieceTokenizer
    from transformers import AutoConfig, AutoModel, BertTokenizerFast

    vocabulary = BertWordPieceTokenizer()
    sentences = read_sentences(sample_sentences_path()).column(0)
    vocabulary.train_from_iterator(sentences, vocab_size=800, show_progress=False)
    folder.mkdir(parents=True)
    (path,) = vocabulary.save_model(str(folder))
    tokenizer = BertTokenizerFast(vocab=path, model_max_length=64)
    config = AutoConfig.for_model(
        kind,
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=80,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_training_data(mode: str, folder: Path) -> Path:
    """Plain sentences, or triplets of the sample's pairs: texts of equal meaning, and a sentence of another pair."""
    if mode == "unsup":
        return sample_sentences_path()
    alike = [(a, b) for a, b, gold in zip(*_PAIRS[:3], strict=True) if gold >= 3]
    path = folder / "nli_for_simcse.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["sent0", "sent1", "hard_neg"])
        rows.writerows([*pair, alike[i - 1][1]] for i, pair in enumerate(alike))
    return path


def make_senteval(root: Path) -> Path:
    """The sample's pairs as each of the seven tasks."""
    pairs = list(zip(*_PAIRS[:3], strict=True))
    for year, names in SUBSETS.items():
        folder = root / "STS" / f"{year}-en-test"
        folder.mkdir(parents=True)
        for name in names:
            _write(folder / f"STS.input.{name}.txt", (f"{a}\t{b}" for a, b, _ in pairs))
            _write(folder / f"STS.gs.{name}.txt", (f"{gold}" for _, _, gold in pairs))
    (root / "STS" / "STSBenchmark").mkdir()
    for split in ("train", "dev", "test"):
        rows = (f"genre\tfile\tyear\t{i}\t{gold}\t{a}\t{b}" for i, (a, b, gold) in enumerate(pairs))
        _write(root / "STS" / "STSBenchmark" / f"sts-{split}.csv", rows)
    (root / "SICK").mkdir()
    header = "pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment"
    rows = (f"{i}\t{a}\t{b}\t{gold}\tNEUTRAL" for i, (a, b, gold) in enumerate(pairs))
    _write(root / "SICK" / "SICK_test_annotated.txt", [header, *rows])
    return root


def _write(path: Path, lines: object) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")  # type: ignore[attr-defined]
