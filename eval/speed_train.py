"""Training speed compared with sentence-transformers: python eval/speed_train.py [--base [FOLDER]] [--device cuda]

On the CPU: MiniLM, sentences of train/wiki_sentences.txt (batch 64, at most 32 tokens) and rows of
train/nli_triplets.csv (batch 128), fp32 and bf16. The trainers alternate, a few steps each, in several rounds; results
are medians of the rounds, ratios are taken per round. Also the share of the matrix product's limit, and a profile.

``--base``: a base-sized model (in FOLDER, else a BERT with random weights), only the sentences, in bf16, full and with
LoRA adapters of rank 16, each turn in its own process to measure memory. Writes results/speed_train_base.json.

On CUDA: encoders of MiniLM's and of BERT-base's size with random weights (``--sizes``), the same sentences repeated.
First a check that packed and compiled steps compute the same as the plain step; then ours is also timed compiled, as
long runs are; tokens per second and their share of the peak; finally a million pairs on the base-sized model. Writes
results/speed_train.json, or results/speed_train_cuda_SIZE.json. Test that part on a CPU with ``--try-cuda --sizes
minilm --rows 640 --steps 2 --rounds 1``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lib.peers import peer_trainer
from lib.record import data_folder, write_result
from lib.same_steps import check_steps
from lib.sizes import SIZES, Size, limit, random_bert, shares
from transformers import TrainerCallback

from simcse_kit import TrainListener, train_sup, train_unsup
from simcse_kit.data import read_examples, read_sentences
from simcse_kit.encoder.known import packaged_minilm

WARM_UP = 3  # untimed steps of each turn
RANK = 16  # of LoRA adapters
MAX_TOKENS = 32  # of a sentence
Step = Callable[[int], None]


class Task(NamedTuple):
    """Rows to train on, and batch size."""

    mode: str
    rows: list[Any]
    batch_size: int


class Done(Exception):
    """Enough steps are done."""


class Clock:
    """Times the steps of a turn after the first few."""

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
        """Store the plan of the run."""
        self.speedups = plan.speedups

    def stepped(self, step: int, steps: int) -> None:
        """Report to the clock; end the turn."""
        self.clock.stepped(step)
        if self.clock.seconds:
            raise Done


class Callback(TrainerCallback):
    """Reports the peer's steps to the clock."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Report to the clock."""
        self.clock.stepped(state.global_step)


def ours(task: Task, model: str, steps: int, device: str, *, listener: Listen | None = None, **settings: Any) -> float:
    """Rows per second of our trainer."""
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


def peers(task: Task, model: str, steps: int, device: str, *, bf16: bool, lora_rank: int | None = None) -> float:
    """Rows per second of sentence-transformers' trainer."""
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
            lora_rank=lora_rank,
        )
        trainer.add_callback(Callback(clock))
        trainer.train()
    return steps * task.batch_size / clock.seconds


def unsup_task(data: Path, steps: int) -> Task:
    """Enough sentences for a turn."""
    sentences = read_sentences(data / "train/wiki_sentences.txt").column(0)
    return Task("unsup", list(islice(cycle(sentences), (WARM_UP + steps + 1) * 64)), 64)


def tokens_of(task: Task) -> float:
    """Average tokens of a row's texts; a single sentence is read twice."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(packaged_minilm())
    some = task.rows[:2000]
    texts = [text for row in some for text in ([row, row] if isinstance(row, str) else row)]
    return sum(map(len, tokenizer(texts, truncation=True, max_length=MAX_TOKENS)["input_ids"])) / len(some)


def compare(task: Task, model: str, steps: int, rounds: int, device: str) -> dict[str, Any]:
    """Alternating trainers: medians, and ratios to sentence-transformers' default (fp32) and to its bf16."""
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
        """Start after the warm-up, stop with the clock."""
        if step == WARM_UP:
            self.profiler.start()
        try:
            super().stepped(step, steps)
        except Done:
            self.profiler.stop()
            raise


def profile(task: Task, model: str, device: str) -> list[dict[str, Any]]:
    """Device time of our default step by operation, for those above 2 %."""
    listener = Profiled(Clock(4, device))
    ours(task, model, 4, device, listener=listener)
    on_device = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    events = [(event.key, getattr(event, on_device)) for event in listener.profiler.key_averages()]
    total = sum(time for _, time in events)
    share = [{"operation": key, "share": time / total} for key, time in events if time > 0.02 * total]
    return sorted(share, key=lambda item: -item["share"])


def million(model: str, data: Path, device: str, count: int) -> dict[str, Any]:
    """Whole runs, as users see them: loading, tokenizing, compiling, training, saving.

    Ours trains on ``count`` sentences; sentence-transformers in bfloat16 on a fifth of them, with its minutes
    multiplied by five.
    """
    sentences = read_sentences(data / "train/wiki_sentences.txt").column(0)
    texts = [f"{sentence} {i}" for i, sentence in enumerate(islice(cycle(sentences), count))]
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        result = train_unsup(
            texts, Path(folder) / "run", model=model, pooling="cls_before_pooler", eval_steps=10**6, device=device
        )
    whole = time.perf_counter() - began
    began, part = time.perf_counter(), texts[: count // 5]
    with tempfile.TemporaryDirectory() as folder:
        given: dict[str, Any] = {"batch_size": 64, "learning_rate": 3e-5, "seed": 1, "bf16": True, "device": device}
        peer_trainer({"anchor": part, "positive": part}, Path(folder), model=model, **given).train()
    theirs = 5 * (time.perf_counter() - began)
    return {
        "sentences": count,
        "minutes": whole / 60,
        "steps_minutes": result.seconds / 60,
        "their_minutes_from_a_fifth": theirs / 60,
    }


def compare_base(model: str, steps: int, rounds: int) -> dict[str, Any]:
    """A base-sized model on the CPU, each turn in its process: medians and peaks, ratios to sentence-transformers."""
    found: dict[str, dict[str, list[float]]] = {}
    for turn in range(rounds):
        for system in ("theirs", "ours"):
            for rank in ((), (str(RANK),)):
                name = f"{system} with adapters" if rank else system
                script = str(Path(__file__).with_name("train_turn.py"))
                command = [sys.executable, script, system, model, str(steps), *rank]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                for key, value in json.loads(done.stdout.splitlines()[-1]).items():
                    found.setdefault(name, {}).setdefault(key, []).append(value)
                print(f"round {turn + 1}: {name} {found[name]['rows_per_second'][-1]:.2f} rows/s", flush=True)

    def ratio(kind: str) -> float:
        pairs = zip(found[f"ours{kind}"]["rows_per_second"], found[f"theirs{kind}"]["rows_per_second"], strict=True)
        return statistics.median(a / b for a, b in pairs)

    return {
        "batch_size": 64,
        "lora_rank": RANK,
        "rows_per_second": {name: statistics.median(own["rows_per_second"]) for name, own in found.items()},
        "peak_bytes": {name: max(own["peak_bytes"]) for name, own in found.items()},
        "rounds": {name: own["rows_per_second"] for name, own in found.items()},
        "ours_to_theirs": ratio(""),
        "ours_to_theirs_with_adapters": ratio(" with adapters"),
    }


def measure_cuda(size: Size, name: str, tasks: list[Task], arguments: argparse.Namespace, data: Path) -> None:
    """Check, compare and write one size; writes the first results before the long run."""
    device = arguments.device
    with tempfile.TemporaryDirectory() as folder:
        model = random_bert(Path(folder), size)
        result: dict[str, Any] = {
            "device": torch.cuda.get_device_name() if device == "cuda" else device,
            "model": f"BERT with random weights, {size.layers} layers of {size.width}",
            "differences": check_steps(model, tasks[0].rows[:64], device),
        }
        best = limit(torch.bfloat16, size, rows=1 << 14 if device == "cuda" else 2048, device=device)
        result["matrix_product_gflops"] = {"bfloat16": best}
        for task in tasks:
            own = compare(task, model, arguments.steps, arguments.rounds, device)
            own["tokens"] = {
                trainer: shares(rows * tokens_of(task), 3 * size.mflop, best, device)
                for trainer, rows in own["rows_per_second"].items()
            }
            result[task.mode] = own
        result["profile"] = profile(tasks[0], model, device)
        path = None if device == "cuda" else Path(folder) / "tried.json"  # test on a CPU: the results mean nothing
        print(write_result(f"speed_train_cuda_{name}", result, path))
        if size == SIZES["base"] or device != "cuda":
            result["million"] = million(model, data, device, arguments.rows)
            print(result["million"], write_result(f"speed_train_cuda_{name}", result, path))


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--base", nargs="?", const="", help="a base-sized model on the CPU; its folder")
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES), help="on CUDA")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the long run on CUDA")
    parser.add_argument(
        "--try-cuda", action="store_true", help="run the CUDA steps with a tiny model on the CPU; writes nothing"
    )
    parser.add_argument("--steps", type=int, help="timed in a turn; default 8, base-sized 4, on CUDA 100")
    parser.add_argument("--rounds", type=int, help="default 5, base-sized 3, on CUDA 2")
    arguments = parser.parse_args()
    data, device = data_folder(), arguments.device
    accelerated = device == "cuda" or arguments.try_cuda
    defaults = (100, 2) if accelerated else (8, 5) if arguments.base is None else (4, 3)
    arguments.steps, arguments.rounds = arguments.steps or defaults[0], arguments.rounds or defaults[1]
    if arguments.base is not None:
        with tempfile.TemporaryDirectory() as folder:
            model = arguments.base or random_bert(Path(folder), SIZES["base"])
            result = compare_base(model, arguments.steps, arguments.rounds)
        what = Path(arguments.base).resolve().name if arguments.base else "BERT-base, random weights"
        print(write_result("speed_train_base", {"model": what, **result}))
        return
    triplets = read_examples(data / "train/nli_triplets.csv").rows
    unsup = unsup_task(data, arguments.steps)
    sup = Task("sup", list(islice(cycle(triplets), (WARM_UP + arguments.steps + 1) * 128)), 128)
    if accelerated:
        for name in arguments.sizes:
            size = Size(2, 96, 192) if arguments.try_cuda else SIZES[name]
            measure_cuda(size, name, [unsup, sup], arguments, data)
        return
    model, size = str(packaged_minilm()), SIZES["minilm"]
    result = {
        "device": "cpu",
        "model": "all-MiniLM-L6-v2",
        "unsup": compare(unsup, model, arguments.steps, arguments.rounds, device),
        "sup": compare(sup, model, arguments.steps, arguments.rounds, device),
        "profile": profile(unsup, model, device),
        "matrix_product_gflops": {
            str(dtype).removeprefix("torch."): limit(dtype, size, rows=1024)
            for dtype in (torch.float32, torch.bfloat16)
        },
    }
    print(write_result("speed_train", result))


if __name__ == "__main__":
    main()
