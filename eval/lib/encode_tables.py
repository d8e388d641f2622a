"""Encoding speed beside other libraries: tables, picture, profile, and the memory of a large corpus."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lib.record import RESULTS, has, load
from lib.scaling_tables import large_corpus_lines
from simcse_kit.report.charts import AFTER, NEUTRAL, SpeedPoint, speed_against_score


def encode_table() -> Iterator[str]:
    """Encoding beside the other libraries, with MiniLM and with a base-sized model."""
    for name in ("speed_encode", "speed_encode_base"):
        if has(name):
            yield from encode_lines(name, load(name))
    if has("profile_encode"):
        yield from profile_lines(load("profile_encode"))


def encode_lines(name: str, result: dict[str, Any]) -> Iterator[str]:
    """One model's table, with remarks."""
    systems, texts = result["systems"], result["texts"]
    scored = "seven_tasks" in systems[0]
    short, mixed = (
        f"{texts[n]['texts']:,} of {texts[n]['tokens'] / texts[n]['texts']:.0f} tokens" for n in ("short", "mixed")
    )
    yield ""
    model = result.get("model", "all-MiniLM-L6-v2")
    yield f"Encoding, {model} with mean pooling on 2 CPU cores, the systems taking turns:"
    yield f"{short} on average and {mixed}; one query at a time ([{name}.json](eval/results/{name}.json)):"
    yield ""
    score = ["STS avg"] if scored else []
    columns = ["sentences/s", "×", "mixed lengths ×", "share of the limit", "query, ms", *score]
    yield f"| | {' | '.join([*columns, 'mean cosine', 'lowest', 'peak memory, MiB'])} |"
    yield "| --- |" + " ---: |" * (len(columns) + 3)
    for system in systems:
        average = f"{system['seven_tasks']:.2f} | " if scored else ""
        yield (
            f"| {system['name']} | {system['short']['sentences_per_second']:,.0f} | {system['short']['ratio']:.2f} | "
            f"{system['mixed']['ratio']:.2f} | {100 * system['short']['share_of_limit']:.0f} % | "
            f"{system['query']['milliseconds']:.1f} | {average}{system['mean_cosine']:.5f} | "
            f"{system['lowest_cosine']:.4f} | {system['peak_bytes'] / 2**20:,.0f} |"
        )
    yield ""
    limits = result["matrix_product_gflops"]
    int8 = f", {limits['int8']:.0f} in int8 here." if "int8" in limits else " here; int8 is held against the second."
    joint = "," if "int8" in limits else " and"
    yield (
        f"× is to sentence-transformers' default. The limit is the matrix product alone, "
        f"{limits['float32']:.0f} GFLOP/s in float32{joint} {limits['bfloat16']:.0f} in bfloat16{int8}"
    )
    if any("ratio_to_peer_openvino" in system["short"] for system in systems):
        best = next(system for system in systems if system["name"] == "ours openvino bfloat16")
        yield (
            f"Ours in OpenVINO's bfloat16 is {best['short']['ratio_to_peer_openvino']:.2f} times theirs in the same "
            f"({best['mixed']['ratio_to_peer_openvino']:.2f} on mixed lengths)."
        )
    if found := result.get("against"):
        pairs = (
            f"{own['ours']} is {own['short']:.2f} times {own['peer']} ({own['mixed']:.2f} on mixed lengths)"
            for own in found
        )
        yield f"Against the fastest others: {'; '.join(pairs)}."


def profile_lines(profile: dict[str, Any]) -> Iterator[str]:
    """Why bfloat16, and int8 where its limit was measured, do not get faster here."""
    limits = profile["matrix_product_gflops"]
    half = profile["bfloat16"]
    share, seconds = half["share_of_operations"], half["seconds"]
    end = "([profile_encode.json](eval/results/profile_encode.json))."
    yield (
        f"Of its forward passes {100 * share['matrix products']:.0f} % are matrix products, which run at "
        f"{100 * half['gflops_in_the_products'] / limits['bfloat16']:.0f} % of that limit, and "
        f"{100 * share['attention']:.0f} % attention; the tokenizer takes "
        f"{100 * seconds['tokens'] / seconds['whole call']:.0f} % of a call {end}"
    )
    if "int8" in limits:
        own = profile["int8"]
        share, seconds = own["share_of_operations"], own["seconds"]
        rest = 1 - share["matrix products"] - share["attention"]
        yield (
            f"Of int8's forward passes {100 * share['matrix products']:.0f} % are matrix products, at "
            f"{100 * own['gflops_in_the_products'] / limits['int8']:.0f} % of the int8 limit, "
            f"{100 * share['attention']:.0f} % attention and {100 * rest:.0f} % norms, sums and changes of format; the "
            f"tokenizer takes {100 * seconds['tokens'] / seconds['whole call']:.0f} % of a call."
        )


def corpus_line() -> Iterator[str]:
    """Memory over a corpus that is encoded from file to file."""
    if not has("encode_corpus"):
        return
    result = load("encode_corpus")
    yield ""
    yield (
        f"`simcse-kit encode` over {result['rows'] / 1e6:g} million short sentences with a tiny model: "
        f"{result['peak_beyond_the_model_bytes'] / 2**20:,.0f} MiB beyond the model at the peak, "
        f"{result['rows'] / result['seconds']:,.0f} rows/s; killed once on the way, it went on at row "
        f"{result['resumed_at']:,} ([encode_corpus.json](eval/results/encode_corpus.json))."
    )
    if has("large_corpus"):
        yield from large_corpus_lines()


def draw_encode() -> None:
    """The picture of the README: speed against STS."""
    systems = load("speed_encode")["systems"]
    points = [
        SpeedPoint(
            f"{system['backend']}\n{system['dtype']}",
            system["short"]["sentences_per_second"],
            system["seven_tasks"],
            AFTER if system["kind"] == "OURS" else NEUTRAL,
        )
        for system in systems
    ]
    others = len({system.get("library") for system in systems}) > 2
    chart = speed_against_score(
        points,
        ylabel="STS, seven-task average",
        machine="2 CPU cores",
        legend={"simcse_kit": AFTER, ("other libraries" if others else "sentence-transformers"): NEUTRAL},
    )
    (RESULTS / "speed_encode.svg").write_text(chart.svg(), encoding="utf-8")
