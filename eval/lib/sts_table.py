"""The seven STS tasks before and after training, from results/sts.json and results/recipes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lib.record import has, load

TASKS = ("STS12", "STS13", "STS14", "STS15", "STS16", "STSBenchmark", "SICKRelatedness", "avg")
_SHOWN = {
    "unsup": "`train unsup`",
    "distill": "`train unsup --recipe distill --teacher all-MiniLM-L6-v2`",
    "sup": "`train sup`",
    "sup-teacher": "`train sup --recipe sup-teacher --teacher all-MiniLM-L6-v2`",
}


def row(name: str, result: dict[str, Any]) -> str:
    """A line of the seven-task table."""
    scores = [f"{result['scores'][task]:.2f}" for task in TASKS]
    return f"| {name} | {' | '.join(scores)} | {result['alignment']:.3f} | {result['uniformity']:.3f} |"


def seven_tasks() -> Iterator[str]:
    """The table that equals the original's, and the effect of training."""
    sts, quick = load("sts"), load("quickstart")
    mean, cls = sts["results"]
    yield "Spearman × 100, SentEval's protocol (setting “all”), all-MiniLM-L6-v2 on 2 CPU cores:"
    yield ""
    yield "| | STS12 | STS13 | STS14 | STS15 | STS16 | STS-B | SICK-R | avg | alignment | uniformity |"
    yield "| --- | " + " | ".join(["---:"] * 10) + " |"
    yield row("mean pooling, as published", mean)
    yield row("CLS vector, untrained", cls)
    trained = [(name, load(f"recipes/{name}-1")) for name in _SHOWN if has(f"recipes/{name}-1")]
    for name, result in trained:
        yield row(f"CLS, {_SHOWN[name]}", result)
    yield ""
    equal = "equals" if mean["equal_to_two_decimals"] else "differs from"
    yield (
        f"- The first line {equal} the original evaluation code's to the second decimal on every task "
        f"([sts.json](eval/results/sts.json)); the suite took {mean['seconds']:.0f} s."
    )
    yield (
        "- Trained for one epoch on Wikipedia sentences or NLI triplets, seed 1; best on STS-B dev at step "
        + ", ".join(f"{result['best_step']} (`{name}`)" for name, result in trained)
        + "."
    )
    low, high = quick["interval"]
    yield (
        f"- `quickstart`: {quick['seconds']:.0f} s and {quick['peak_memory_bytes'] / 2**30:.1f} GiB; nDCG@10 of the "
        f"sample's judged queries {quick['before']:.1f} before, {quick['after']:.1f} after (95 % interval of the "
        f"difference {low:+.1f} to {high:+.1f}; [quickstart.json](eval/results/quickstart.json))."
    )
    if has("memory"):
        memory = load("memory")
        yield (
            f"- `--batch-size {memory['batch_size']} --mini-batch-size {memory['mini_batch_size']}` on sentences of "
            f"{memory['tokens']} tokens: {memory['peak_gib']:.1f} GiB at the peak "
            "([memory.json](eval/results/memory.json))."
        )
