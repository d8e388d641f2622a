"""What results/ say for examples/contrastive_learning.md: each block of it by name."""

from __future__ import annotations

from collections.abc import Mapping

from lib.record import load

_RECIPES = {
    "unsup": "SimCSE: dropout alone",
    "word-repetition": "SimCSE, words repeated too",
    "simclr": "SimCLR: dropout, words left out, NT-Xent, projection head",
    "sup": "SimCSE with NLI labels",
}


def lecture_blocks(averages: Mapping[str, float]) -> dict[str, str]:
    """Name of a block to its lines; ``averages``: the seven-task average of each recipe."""
    return {"images": _images(), "views": _views(), "recipes": _recipes(averages)}


def _images() -> str:
    result = load("simclr_images")
    lines = [
        f"| {result['train']:,} digits without labels, {result['test']} held out | {result['labels_a_class']} labels a "
        "class | all labels |",
        "| --- | ---: | ---: |",
    ]
    for name, own in result["accuracy"].items():
        lines.append(f"| {name} | {own['few']['mean']:.1f} | {own['all']['mean']:.1f} |")
    seconds = sum(result["train_seconds"]) / len(result["seeds"])
    lines += [
        "",
        f"Accuracy × 100 of a linear probe, mean of {len(result['seeds'])} seeds, {seconds:.0f} seconds of training "
        "each on two CPU cores ([simclr_images.json](eval/results/simclr_images.json)).",
    ]
    return "\n".join(lines)


def _views() -> str:
    result = load("contrastive_learning")
    lines = ["| two vectors of | median cosine |", "| --- | ---: |"]
    lines += [f"| {name} | {own['median']:.2f} |" for name, own in result["cosines"].items()]
    lines += [
        "",
        f"{result['sentences']} sentences, MiniLM's CLS vector before training "
        "([contrastive_learning.json](eval/results/contrastive_learning.json)).",
    ]
    return "\n".join(lines)


def _recipes(averages: Mapping[str, float]) -> str:
    lines = ["| trained from MiniLM's CLS vector | STS, seven-task average |", "| --- | ---: |"]
    lines += [f"| {what} | {averages[name]:.2f} |" for name, what in _RECIPES.items()]
    lines += ["", "Means of three seeds ([recipes](eval/results/recipes))."]
    return "\n".join(lines)
