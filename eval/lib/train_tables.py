"""Training speed beside sentence-transformers, from results/speed_train.json and results/speed_train_base.json."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lib.record import has, load


def speed_table() -> Iterator[str]:
    """Training beside sentence-transformers."""
    if not has("speed_train"):
        return
    result = load("speed_train")
    yield ""
    yield "Training speed, rows/s, the trainers taking turns ([speed_train.json](eval/results/speed_train.json)):"
    yield ""
    names = list(result["unsup"]["rows_per_second"])
    yield "| | " + " | ".join(names) + " | default to their default | default to their bf16 |"
    yield "| --- |" + " ---: |" * (len(names) + 2)
    for mode, what in (("unsup", "sentences, batch 64"), ("sup", "triplets, batch 128")):
        own = result[mode]
        speeds = " | ".join(f"{own['rows_per_second'][name]:.1f}" for name in names)
        yield (
            f"| {what} | {speeds} | {own['ours_default_to_their_default']:.2f} | "
            f"{own['ours_default_to_their_bfloat16']:.2f} |"
        )
    if has("speed_train_base"):
        yield from base_table(load("speed_train_base"))


def base_table(result: dict[str, Any]) -> Iterator[str]:
    """Training a base-sized model, whole and by adapters."""
    yield ""
    yield (
        f"A base-sized model ({result['model']}) in bfloat16, sentences, batch {result['batch_size']}; adapters are "
        f"LoRA's of rank {result['lora_rank']} ([speed_train_base.json](eval/results/speed_train_base.json)):"
    )
    yield ""
    yield "| | sentence-transformers, rows/s | ours, rows/s | × | theirs, peak MiB | ours, peak MiB |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for what, kind, ratio in (
        ("whole", "", "ours_to_theirs"),
        ("adapters", " with adapters", "ours_to_theirs_with_adapters"),
    ):
        speeds = [f"{result['rows_per_second'][system + kind]:.1f}" for system in ("theirs", "ours")]
        peaks = [f"{result['peak_bytes'][system + kind] / 2**20:,.0f}" for system in ("theirs", "ours")]
        yield f"| {' | '.join([what, *speeds, f'{result[ratio]:.2f}', *peaks])} |"
