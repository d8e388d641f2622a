"""Training speed beside sentence-transformers' trainer: python eval/speed_train.py [--device cuda]

On the CPU: MiniLM, sentences of train/wiki_sentences.txt (batch 64, 32 tokens at most) and rows of
train/nli_triplets.csv (batch 128), fp32 and bf16. The trainers take turns, a few steps each, several rounds; figures
are medians of the rounds, ratios are taken round by round. Also the share of the matrix product's limit, and a profile.
On CUDA: a BERT-base-sized encoder with random weights, the same sentences repeated; first it is checked that packed and
compiled steps compute what the plain one does, then ours is also timed compiled, as long runs are. Writes
results/speed_train.json, or results/speed_train_cuda.json.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peers import peer_trainer
from record import data_folder, write_result
from same_steps import check_steps
from transformers import TrainerCallback

from simcse_kit import TrainListener, train_sup, train_unsup
from simcse_kit.data import read_examples, read_sentences
from simcse_kit.encoder.known import packaged_minilm

WARM_UP = 3  # steps of each turn that are not timed
Step = Callable[[int], None]


class Task(NamedTuple):
    """Rows to train on, and how many make a step."""

    mode: str
    rows: list[Any]
    batch_size: int


class Done(Exception):
    """Enough steps."""


class Clock:
    """Seconds of the steps after the first few of a turn."""

    def __init__(self, steps: int, device: str) -> None:
        self.steps, self.device = steps, device
        self.began = self.seconds = 0.0

    def stepped(self, step: int) -> None:
        """A step has ended."""
        if step in (WARM_UP, WARM_UP + self.steps):
            if self.device == "cuda":
                torch.cuda.synchronize()
            now = time.perf_counter()
            if step == WARM_UP:
                self.began = now
            else:
                self.seconds = now - self.began


class Listen(TrainListener):
    """Stops our run after the last timed step."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.speedups: tuple[str, ...] = ()

    def started(self, plan: Any) -> None:
        """Keep what the run says of itself."""
        self.speedups = plan.speedups

    def stepped(self, step: int, steps: int) -> None:
        """Tell the clock; end the turn."""
        self.clock.stepped(step)
        if self.clock.seconds:
            raise Done


class Callback(TrainerCallback):
    """Tells the clock of the peer's steps."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Tell the clock."""
        self.clock.stepped(state.global_step)


def ours(task: Task, model: str, steps: int, device: str, *, listener: Listen | None = None, **settings: Any) -> float:
    """Rows a second of our trainer."""
    listener = listener or Listen(Clock(steps, device))
    clock = listener.clock
    train = train_unsup if task.mode == "unsup" else train_sup
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Done):
        train(
            task.rows,
            Path(folder) / "run",
            model=model,
            pooling="cls_before_pooler",
            batch_size=task.batch_size,
            epochs=1,
            eval_steps=10**6,
            device=device,
            listener=listener,
            **settings,
        )
    return steps * task.batch_size / clock.seconds


def peers(task: Task, model: str, steps: int, device: str, *, bf16: bool) -> float:
    """Rows a second of sentence-transformers' trainer."""
    clock = Clock(steps, device)
    if task.mode == "unsup":
        columns = {"anchor": task.rows, "positive": task.rows}
    else:
        columns = {name: [row[i] for row in task.rows] for i, name in enumerate(("anchor", "positive", "negative"))}
    with tempfile.TemporaryDirectory() as folder:
        trainer = peer_trainer(
            columns,
            Path(folder),
            model=model,
            batch_size=task.batch_size,
            learning_rate=3e-5,
            seed=1,
            bf16=bf16,
            device=device,
            max_steps=WARM_UP + steps,
        )
        trainer.add_callback(Callback(clock))
        trainer.train()
    return steps * task.batch_size / clock.seconds


def limit(dtype: torch.dtype, device: str) -> float:
    """GFLOP/s of the matrix product, the best of several shapes that a step has."""
    best = 0.0
    for size in (384, 768, 1536):
        a, b = torch.randn(1024, size, device=device, dtype=dtype), torch.randn(size, 1536, device=device, dtype=dtype)
        for _ in range(5):
            began = time.perf_counter()
            for _ in range(20):
                a @ b
            if device == "cuda":
                torch.cuda.synchronize()
            best = max(best, 20 * 2 * a.numel() * 1536 / (time.perf_counter() - began) / 1e9)
    return best


def random_bert(folder: Path) -> str:
    """A BERT-base with random weights and MiniLM's tokenizer, which is BERT's."""
    from transformers import AutoTokenizer, BertConfig, BertModel

    BertModel(BertConfig()).save_pretrained(folder)
    AutoTokenizer.from_pretrained(packaged_minilm()).save_pretrained(folder)
    return str(folder)


def compare(task: Task, model: str, steps: int, rounds: int, device: str) -> dict[str, Any]:
    """The trainers in turns: medians, and ratios to sentence-transformers' default (fp32) and to its bf16."""
    turns: dict[str, Callable[[], float]] = {
        "sentence-transformers float32": lambda: peers(task, model, steps, device, bf16=False),
        "ours default": lambda: ours(task, model, steps, device),
        "sentence-transformers bfloat16": lambda: peers(task, model, steps, device, bf16=True),
        "ours float32": lambda: ours(task, model, steps, device, bf16=False),
    }
    if device == "cuda":
        turns["ours compiled"] = lambda: ours(task, model, steps, device, torch_compile=True)
    speeds: dict[str, list[float]] = {name: [] for name in turns}
    for turn in range(rounds):
        for name, run in turns.items():
            speeds[name].append(run())
            print(f"{task.mode} round {turn + 1}: {name} {speeds[name][-1]:.1f} rows/s", flush=True)

    def ratio(one: str, other: str) -> float:
        return statistics.median(a / b for a, b in zip(speeds[one], speeds[other], strict=True))

    more = {}
    if device == "cuda":
        more["ours_compiled_to_their_default"] = ratio("ours compiled", "sentence-transformers float32")
        more["ours_compiled_to_their_bfloat16"] = ratio("ours compiled", "sentence-transformers bfloat16")
    return {
        "batch_size": task.batch_size,
        "rows_per_second": {name: statistics.median(values) for name, values in speeds.items()},
        "rounds": speeds,
        "ours_default_to_their_default": ratio("ours default", "sentence-transformers float32"),
        "ours_default_to_their_bfloat16": ratio("ours default", "sentence-transformers bfloat16"),
        "ours_float32_to_their_float32": ratio("ours float32", "sentence-transformers float32"),
        **more,
    }


class Profiled(Listen):
    """Profiles the steps after the first few."""

    def __init__(self, clock: Clock) -> None:
        from torch.profiler import ProfilerActivity

        super().__init__(clock)
        activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if clock.device == "cuda" else [])
        self.profiler = torch.profiler.profile(activities=activities)

    def stepped(self, step: int, steps: int) -> None:
        """Begin after the warm-up, end with the clock."""
        if step == WARM_UP:
            self.profiler.start()
        try:
            super().stepped(step, steps)
        except Done:
            self.profiler.stop()
            raise


def profile(task: Task, model: str, device: str) -> list[dict[str, Any]]:
    """Where our default step's time goes on the device: the operations above 2 % of it."""
    listener = Profiled(Clock(4, device))
    ours(task, model, 4, device, listener=listener)
    on_device = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    events = [(event.key, getattr(event, on_device)) for event in listener.profiler.key_averages()]
    total = sum(time for _, time in events)
    share = [{"operation": key, "share": time / total} for key, time in events if time > 0.02 * total]
    return sorted(share, key=lambda item: -item["share"])


def million(model: str, sentences: list[str], device: str) -> dict[str, float]:
    """A whole run of a million sentences, as a user sees it: loading, tokenizing, compiling, stepping, saving."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        texts = [f"{sentence} {i}" for i, sentence in enumerate(islice(cycle(sentences), 1_000_000))]
        result = train_unsup(
            texts, Path(folder) / "run", model=model, pooling="cls_before_pooler", eval_steps=10**6, device=device
        )
    return {"sentences": len(texts), "seconds": time.perf_counter() - began, "steps_seconds": result.seconds}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--steps", type=int, help="timed in a turn; default 8, on CUDA 200")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    data, device = data_folder(), arguments.device
    steps = arguments.steps or (200 if device == "cuda" else 8)
    sentences = read_sentences(data / "train/wiki_sentences.txt").column(0)
    triplets = read_examples(data / "train/nli_triplets.csv").rows
    needed = (WARM_UP + steps + 1) * 128
    unsup = Task("unsup", list(islice(cycle(sentences), needed)), 64)
    sup = Task("sup", list(islice(cycle(triplets), needed)), 128)
    name = "speed_train" if device == "cpu" else "speed_train_cuda"
    with tempfile.TemporaryDirectory() as folder:
        model = random_bert(Path(folder)) if device == "cuda" else str(packaged_minilm())
        result: dict[str, Any] = {
            "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
            "model": "BERT-base, random weights" if device == "cuda" else "all-MiniLM-L6-v2",
        }
        if device == "cuda":
            result["differences"] = check_steps(model, sentences[:64], device)
        result["unsup"] = compare(unsup, model, steps, arguments.rounds, device)
        result["sup"] = compare(sup, model, steps, arguments.rounds, device)
        result["profile"] = profile(unsup, model, device)
        result["matrix_product_gflops"] = {
            str(dtype).removeprefix("torch."): limit(dtype, device) for dtype in (torch.float32, torch.bfloat16)
        }
        if device == "cuda":
            write_result(name, result)  # what there is, should the long run be cut off
            result["million"] = million(model, sentences, device)
    print(write_result(name, result))


if __name__ == "__main__":
    main()
