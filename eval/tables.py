"""The README's figures and tables, this folder's README, the examples' and the recipes' figures: python eval/tables.py

Figures come from results/, tables of parts (suites, poolings, ...) from the parts. Rewrites what stands between marks,
and ``measured.json``, which `simcse-kit recipes` shows.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lib.adapt_tables import adapt_table, harm_figures, harm_line, method_figures
from lib.hybrid_tables import hybrid_table
from lib.lecture_tables import lecture_blocks
from lib.part_tables import part_blocks
from lib.record import has, load
from lib.results_page import results_page
from lib.scaling_tables import large_corpus_lines, scaling_blocks
from lib.search_tables import search_tables
from lib.suite_tables import suite_tables

from simcse_kit.report.charts import AFTER, NEUTRAL, SpeedPoint, speed_against_score

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
LECTURE = HERE.parent / "examples" / "contrastive_learning.md"
SCALING = HERE.parent / "examples" / "scaling.md"
PAGE = HERE / "README.md"
MEASURED = HERE.parent / "simcse_kit" / "training" / "measured.json"
HARM = HERE.parent / "simcse_kit" / "training" / "harm.json"
METHODS = HERE.parent / "simcse_kit" / "workflows" / "measured.json"
START, END = "<!-- figures: eval/tables.py -->", "<!-- end of figures -->"
TASKS = ("STS12", "STS13", "STS14", "STS15", "STS16", "STSBenchmark", "SICKRelatedness", "avg")
_SHOWN = {
    "unsup": "`train unsup`",
    "distill": "`train unsup --recipe distill --teacher all-MiniLM-L6-v2`",
    "sup": "`train sup`",
    "sup-teacher": "`train sup --recipe sup-teacher --teacher all-MiniLM-L6-v2`",
}
_PLAIN = {
    "unsup": "plain SimCSE",
    "sup": "plain SimCSE",
    "unsup-float32": "plain SimCSE in float32",
    "unsup-1e-4": "plain SimCSE at learning rate 1e-4",
    "unsup-sentence-transformers": "sentence-transformers, `MultipleNegativesRankingLoss`",
    "sup-sentence-transformers": "sentence-transformers, `MultipleNegativesRankingLoss`",
}


_DATA = {
    "unsup": "`train unsup`, Wikipedia sentences",
    "sup": "`train sup`, NLI triplets",
    "scored": "`train sup`, STS-B's train split (its test is one of the seven)",
}


# The seven tasks


def row(name: str, result: dict[str, Any]) -> str:
    """A line of the seven-task table."""
    scores = [f"{result['scores'][task]:.2f}" for task in TASKS]
    return f"| {name} | {' | '.join(scores)} | {result['alignment']:.3f} | {result['uniformity']:.3f} |"


def seven_tasks() -> Iterator[str]:
    """The table that equals the original's, and what training does to it."""
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


# Recipes


class Cell(NamedTuple):
    """A row of the recipe table."""

    name: str
    mode: str
    averages: list[float]  # by seed

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return statistics.fmean(self.averages)


def cells() -> list[Cell]:
    """All that were measured, best first within a mode."""
    found: dict[str, Cell] = {}
    for path in sorted((HERE / "results" / "recipes").glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        cell = found.setdefault(result["cell"], Cell(result["cell"], result["mode"], []))
        cell.averages.append(result["scores"]["avg"])
    return sorted(found.values(), key=lambda cell: (list(_DATA).index(cell.mode), -cell.mean))


def measured() -> dict[str, dict[str, float | int]]:
    """Mean average and seeds by recipe; float32 and sentence-transformers are none."""
    own = [cell for cell in cells() if cell.name not in _PLAIN or cell.name == cell.mode]
    return {cell.name: {"average": round(cell.mean, 2), "seeds": len(cell.averages)} for cell in own}


def recipe_table() -> Iterator[str]:
    """Every recipe on the same start and data."""
    found = cells()
    yield "Recipes on the same start (the CLS vector above) and the same data, one epoch, best checkpoint on STS-B dev;"
    yield "seven-task average, mean over seeds ([recipes/](eval/results/recipes)). A teacher is"
    yield "all-MiniLM-L6-v2 with the mean pooling it was trained for: how much of a good model ends in another vector."
    for mode, what in _DATA.items():
        own = [cell for cell in found if cell.mode == mode]
        if not own:
            continue
        plain = next((cell.mean for cell in own if cell.name == mode), None)
        yield ""
        yield f"| {what} | avg | spread | seeds | against plain |"
        yield "| --- | ---: | ---: | ---: | ---: |"
        for cell in own:
            spread = f"{statistics.stdev(cell.averages):.2f}" if len(cell.averages) > 1 else ""
            against = "" if plain is None or cell.name == mode else f"{cell.mean - plain:+.2f}"
            name = _PLAIN.get(cell.name, f"`--recipe {cell.name}`")
            yield f"| {name} | {cell.mean:.2f} | {spread} | {len(cell.averages)} | {against} |"


# Selection and speed


def label_free_table() -> Iterator[str]:
    """What is lost by choosing without labels."""
    paths = sorted((HERE / "results" / "label_free").glob("*.json"))
    if not paths:
        return
    yield ""
    yield "Choosing a checkpoint by dropout twins (`--select dropout-twins`; no measure of search) and by STS-B dev:"
    yield ""
    yield "| run | dropout twins: step | avg | STS-B dev: step | avg | lost |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for path in paths:
        result = json.loads(path.read_text(encoding="utf-8"))
        step, average = result["chosen_step"], result["average"]
        yield (
            f"| {result['run']} | {step['label_free']} | {average['label_free']:.2f} | {step['dev']} | "
            f"{average['dev']:.2f} | {result['lost']:.2f} |"
        )


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


# Encoding


def encode_table() -> Iterator[str]:
    """Encoding beside the other libraries, with MiniLM and with a base-sized model."""
    for name in ("speed_encode", "speed_encode_base"):
        if has(name):
            yield from encode_lines(name, load(name))
    if has("profile_encode"):
        yield from profile_lines(load("profile_encode"))


def encode_lines(name: str, result: dict[str, Any]) -> Iterator[str]:
    """One model's table, and what is to be said of it."""
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
    (HERE / "results" / "speed_encode.svg").write_text(chart.svg(), encoding="utf-8")


def render() -> str:
    """The section's text."""
    training = [*recipe_table(), *label_free_table(), *speed_table()]
    return "\n".join(
        [*seven_tasks(), "", *suite_tables(), *training, *encode_table(), *corpus_line(), *search_tables()]
    )


def with_blocks(path: Path, blocks: Mapping[str, str]) -> str:
    """A page with each block of lines in its place, between the marks of its name."""
    text = path.read_text(encoding="utf-8")
    for name, block in blocks.items():
        start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        before, _, rest = text.partition(start)
        _, found, after = rest.partition(end)
        assert found, f"{path} has no block {name}"
        text = f"{before}{start}\n{block}\n{end}{after}"
    return text


def lecture() -> str:
    """examples/contrastive_learning.md with its blocks of figures as the results have them."""
    return with_blocks(LECTURE, lecture_blocks({name: own["average"] for name, own in measured().items()}))


def scaling() -> str:
    """examples/scaling.md with its tables as the results have them."""
    return with_blocks(SCALING, scaling_blocks())


def readme() -> str:
    """The README with the figures that the results have, and the tables of the parts that there are."""
    pattern = re.compile(f"{re.escape(START)}.*{re.escape(END)}", re.S)
    blocks = part_blocks() | {"adapt": adapt_table(), "harm": harm_line(), "hybrid": hybrid_table()}
    return pattern.sub(lambda _: f"{START}\n\n{render()}\n\n{END}", with_blocks(README, blocks))


def main() -> None:
    """Rewrite the README's section and tables, the examples' blocks, the figures of recipes and methods."""
    if has("speed_encode"):
        draw_encode()
    MEASURED.write_text(json.dumps(measured(), indent=2) + "\n", encoding="utf-8")
    METHODS.write_text(json.dumps(method_figures(), indent=2) + "\n", encoding="utf-8")
    HARM.write_text(json.dumps(harm_figures(), indent=2) + "\n", encoding="utf-8")
    README.write_text(readme(), encoding="utf-8")
    PAGE.write_text(results_page(render()), encoding="utf-8")
    LECTURE.write_text(lecture(), encoding="utf-8")
    SCALING.write_text(scaling(), encoding="utf-8")


if __name__ == "__main__":
    main()
