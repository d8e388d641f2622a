"""A run that is killed, stopped or out of disk space resumes, with a bit-identical result."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from simcse_kit import SimCSE, train_sup, train_unsup
from simcse_kit.data import LabelledTexts
from simcse_kit.errors import TrainingError, TrainingInterrupted
from simcse_kit.files import DiskFullError
from simcse_kit.training.checkpoints import checkpoints
from simcse_kit.training.events import TrainListener, TrainPlan
from simcse_kit.types import ScoredPairs
from support.lives import FINISHED, INTERRUPTED, KILLED, Death, Plot, live
from support.marks import fast

pytestmark = pytest.mark.filterwarnings("ignore::simcse_kit.errors.Notice")
STEPS = 10  # 40 rows, batch 8, 2 epochs: checkpoints within the first epoch, at its middle, and in the second


@pytest.fixture(scope="module")
def unsup(bert: Path, sentences: list[str], pairs: ScoredPairs) -> Plot:
    """Dropout, a head in the loss, evaluation data, and a checkpoint every three of ten steps."""
    return Plot(
        "unsup",
        sentences,
        {
            "model": bert,
            "eval_data": pairs,
            "batch_size": 8,
            "epochs": 2,
            "eval_steps": 3,
            "learning_rate": 1e-3,
            "bf16": False,  # the lives in other processes choose for themselves
        },
    )


@pytest.fixture(scope="module")
def uninterrupted(unsup: Plot, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted") / "run"
    assert live(unsup, folder, resume=False) == FINISHED
    return folder


def assert_same_end(run: Path, reference: Path, *, metrics: bool = True) -> None:
    """The same saved files, the same best step, the same metrics; training head and optimizer too."""
    whole = ("model.safetensors", "config.json")
    adapters = ("adapter_model.safetensors", "adapter_config.json")
    kind = adapters if (reference / adapters[0]).exists() else whole
    for name in (*kind, "simcse_kit.json", "modules.json", "tokenizer.json", "README.md"):
        assert (run / name).read_bytes() == (reference / name).read_bytes(), name
    if metrics:
        assert (run / "metrics.jsonl").read_text() == (reference / "metrics.jsonl").read_text()
    last, expected = checkpoints(run)[-1], checkpoints(reference)[-1]
    assert last.name == expected.name
    assert (last / "training.safetensors").read_bytes() == (expected / "training.safetensors").read_bytes()
    one, other = (torch.load(folder / "optimizer.pt", weights_only=True)["state"] for folder in (last, expected))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[i][name], other[i][name]) for i in one for name in ("exp_avg", "exp_avg_sq"))
    assert not list(run.glob(".*"))
    assert not list(run.parent.glob(".*"))


@pytest.mark.slow
def test_killed_wherever_a_run_can_be_killed(unsup: Plot, uninterrupted: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    deaths = [
        Death("started"),
        Death("logged", 0),  # in the evaluation at the start
        Death("step", 1),
        Death("step", 3),  # before anything of step 3 is logged or saved
        Death("saving", 3),  # half a checkpoint
        Death("renamed", 3),
        Death("step", 4),
        Death("step", 5),  # the end of an epoch
        Death("logged", 6),
        Death("saving", 6),
        Death("step", 6),
        Death("step", 7),
        Death("saving", 9),
        Death("step", 10),
        Death("model"),
    ]
    for death in deaths:
        assert live(unsup, run, death) == KILLED, death
        assert not (run / "model.safetensors").exists()
    assert live(unsup, run) == FINISHED
    assert_same_end(run, uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", ["mlm", "sup", "fraction", "methods", "adapters", "template", "dropout-twins", "neighbors", "classes"]
)
def test_killed_and_resumed_in_other_settings(
    case: str, bert: Path, sentences: list[str], triplets: list[tuple[str, str, str]], tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"model": bert, "batch_size": 8, "epochs": 2, "eval_steps": 2, "learning_rate": 1e-3}
    many = [f"{sentence} {i}" for sentence in sentences for i in range(16)]
    plots = {
        "mlm": Plot("unsup", sentences, settings | {"mlm_weight": 0.1}),
        "sup": Plot("sup", triplets, settings | {"train_head": "mlp", "hard_negative_weight": 0.5}),
        "fraction": Plot("unsup", sentences, settings | {"epochs": 0.7, "train_head": "none"}),
        "methods": Plot(
            "unsup",
            sentences,
            settings
            | {"recipe": "esimcse+dclr", "learn_temperature": True, "mini_batch_size": 6, "no_duplicates": True},
        ),
        "adapters": Plot("sup", triplets, settings | {"lora_rank": 2, "gradient_checkpointing": True}),
        "template": Plot("unsup", sentences, settings | {"recipe": "promptbert", "bf16": True}),
        "dropout-twins": Plot("unsup", many, settings | {"select": "dropout-twins", "epochs": 0.5, "batch_size": 64}),
    }
    plots["neighbors"] = Plot("unsup", sentences, settings | {"objective": "neighbors", "neighbors": 5})
    classes = LabelledTexts(sentences, [f"class {i % 5}" for i in range(40)], "made")
    plots["classes"] = Plot("sup", classes, settings | {"dropout_views": True})
    if case == "adapters":
        pytest.importorskip("peft")
    assert live(plots[case], tmp_path / "whole", resume=False) == FINISHED
    for death in (Death("step", 3), Death("saving", 4)):
        assert live(plots[case], tmp_path / "run", death) == KILLED
    assert live(plots[case], tmp_path / "run") == FINISHED
    assert_same_end(tmp_path / "run", tmp_path / "whole")
    assert live(plots[case], tmp_path / "run") == FINISHED  # again, already finished
    assert_same_end(tmp_path / "run", tmp_path / "whole")


@pytest.mark.parametrize("step", fast([2], of=[2, 3, 6]))
def test_ctrl_c_saves_and_the_resumed_run_ends_the_same(
    step: int, unsup: Plot, uninterrupted: Path, tmp_path: Path
) -> None:
    assert live(unsup, tmp_path / "run", Death("ctrl-c", step)) == INTERRUPTED
    assert checkpoints(tmp_path / "run")[-1].name == f"checkpoint-{step}"
    assert live(unsup, tmp_path / "run") == FINISHED
    # A stop between two checkpoints logs the loss so far: one line more, and the next mean starts there.
    assert_same_end(tmp_path / "run", uninterrupted, metrics=step % 3 == 0)


class StopAt(TrainListener):
    """Presses Ctrl-C after a step."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.plan: TrainPlan | None = None

    def started(self, plan: TrainPlan) -> None:
        self.plan = plan

    def stepped(self, step: int, steps: int) -> None:
        if step == self.step:
            import signal

            signal.raise_signal(signal.SIGINT)


@pytest.fixture
def stopped(unsup: Plot, tmp_path: Path) -> Path:
    """A run that was stopped after step 4 of 10."""
    with pytest.raises(TrainingInterrupted, match=r"stopped after step 4 of 10, saved in .*checkpoint-4. .* --resume"):
        train_unsup(unsup.data, tmp_path / "run", listener=StopAt(4), device="cpu", **unsup.settings)
    return tmp_path / "run"


def test_a_terminated_run_is_a_stopped_one(unsup: Plot, tmp_path: Path) -> None:
    """SIGTERM, which a cluster sends before it takes a machine away."""
    import signal

    class Terminate(TrainListener):
        def stepped(self, step: int, steps: int) -> None:
            if step == 4:
                signal.raise_signal(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(TrainingInterrupted, match="stopped after step 4 of 10"):
        train_unsup(unsup.data, tmp_path / "run", listener=Terminate(), device="cpu", **unsup.settings)
    assert checkpoints(tmp_path / "run")[-1].name == "checkpoint-4"
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_plan_says_where_a_run_goes_on(unsup: Plot, stopped: Path) -> None:
    listener = StopAt(-1)
    result = train_unsup(unsup.data, stopped, resume=True, listener=listener, device="cpu", **unsup.settings)
    assert listener.plan is not None
    assert listener.plan.resumed_from == 4
    assert result.steps == STEPS
    assert result.rows == 80 - 32
    assert result.start_score == json.loads((stopped / "metrics.jsonl").read_text().splitlines()[0])["eval_spearman"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": 2e-3}, r"--resume: learning_rate was 0\.001 in the run in .* and is now 0\.002"),
        ({"seed": 1}, "--resume: seed was 42"),
        ({"train_head": "none"}, "--resume: train_head was 'mlp'"),
        ({"eval_data": None}, "--resume: eval_data has changed .* 40 rows of made.tsv before, none now"),
    ],
)
def test_other_settings_are_another_run(change: dict[str, Any], message: str, unsup: Plot, stopped: Path) -> None:
    before = sorted(stopped.rglob("*"))
    with pytest.raises(TrainingError, match=message):
        train_unsup(unsup.data, stopped, resume=True, device="cpu", **(unsup.settings | change))
    assert sorted(stopped.rglob("*")) == before


def test_other_data_is_another_run(unsup: Plot, stopped: Path, pairs: ScoredPairs) -> None:
    with pytest.raises(
        TrainingError, match=r"--resume: data has changed since the run in .* 40 rows of <memory> before, 39"
    ):
        train_unsup(unsup.data[1:], stopped, resume=True, device="cpu", **unsup.settings)
    changed = unsup.settings | {"eval_data": pairs._replace(gold=pairs.gold[::-1])}
    with pytest.raises(TrainingError, match="--resume: eval_data has changed"):
        train_unsup(unsup.data, stopped, resume=True, device="cpu", **changed)


def test_a_moved_run_resumes(
    unsup: Plot, uninterrupted: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The best checkpoint is found at its new place, also if no later one is better."""
    settings = unsup.settings | {"learning_rate": 0.3}
    with pytest.raises(TrainingInterrupted):
        train_unsup(unsup.data, tmp_path / "old", listener=StopAt(8), device="cpu", **settings)
    before = json.loads((tmp_path / "old/checkpoint-8/trainer_state.json").read_text())
    (tmp_path / "elsewhere").mkdir()
    shutil.move(tmp_path / "old", tmp_path / "elsewhere/run")
    result = train_unsup(unsup.data, tmp_path / "elsewhere/run", resume=True, device="cpu", **settings)
    assert result.steps == STEPS
    assert not (tmp_path / "old").exists()
    if result.best_step == before["best_global_step"]:
        best = tmp_path / f"elsewhere/run/checkpoint-{result.best_step}"
        assert_same_vectors(SimCSE(tmp_path / "elsewhere/run"), SimCSE(best), unsup.data)
    assert "does not exist" not in caplog.text


def assert_same_vectors(one: SimCSE, other: SimCSE, texts: list[str]) -> None:
    assert (one.encode(texts) == other.encode(texts)).all()


def test_a_run_in_another_thread(unsup: Plot, uninterrupted: Path, tmp_path: Path) -> None:
    """Where signals cannot be handled, nothing else changes."""
    from threading import Thread

    def train() -> None:
        torch.set_num_threads(1)  # another thread has another number
        train_unsup(unsup.data, tmp_path / "run", device="cpu", **unsup.settings)

    thread = Thread(target=train)
    thread.start()
    thread.join()
    assert_same_end(tmp_path / "run", uninterrupted)


def test_a_half_written_checkpoint_is_never_the_newest(unsup: Plot, uninterrupted: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert live(unsup, run, Death("saving", 6)) == KILLED
    assert [path.name for path in checkpoints(run)] == ["checkpoint-3"]
    assert (run / ".staging/checkpoint-6/model.safetensors").is_file()  # remains of the killed run
    assert live(unsup, run, Death("step", 4)) == KILLED
    assert live(unsup, run) == FINISHED
    assert_same_end(run, uninterrupted)


def test_a_finished_run_resumed_stays_as_it_is(unsup: Plot, uninterrupted: Path, tmp_path: Path) -> None:
    shutil.copytree(uninterrupted, tmp_path / "run")
    assert live(unsup, tmp_path / "run") == FINISHED
    assert_same_end(tmp_path / "run", uninterrupted)


@pytest.mark.parametrize("lora_rank", [None, 2])
def test_the_start_is_saved_after_a_kill_too(
    lora_rank: int | None, unsup: Plot, bert: Path, pairs: ScoredPairs, tmp_path: Path
) -> None:
    """Its weights are loaded before the checkpoint; its score is in the checkpoint."""
    if lora_rank is not None:
        pytest.importorskip("peft")
    start = SimCSE(bert, pooling="cls_before_pooler", device="cpu")
    cosines = (
        start.encode(pairs.first, normalize_embeddings=True) * start.encode(pairs.second, normalize_embeddings=True)
    ).sum(1)
    pairs = pairs._replace(gold=cosines.astype(float))  # the start model scores 100
    lora = {"lora_rank": lora_rank, "merge": lora_rank is not None}
    plot = unsup._replace(settings=unsup.settings | {"eval_data": pairs, "learning_rate": 0.05} | lora)
    assert live(plot, tmp_path / "run", Death("step", 4)) == KILLED
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["checkpoint-3"]
    (tmp_path / "run/metrics.jsonl").unlink()  # nothing of the result is read from it
    result = train_unsup(plot.data, tmp_path / "run", resume=True, device="cpu", **plot.settings)
    assert result.best_step == 0
    assert result.best_score == result.start_score == pytest.approx(100)
    assert_same_vectors(SimCSE(tmp_path / "run", device="cpu"), start, plot.data)


# A full disk


def test_a_full_disk_in_a_checkpoint_keeps_the_ones_before(
    unsup: Plot, uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from simcse_kit.training.trainer import ContrastiveTrainer

    run = tmp_path / "run"
    save = ContrastiveTrainer._save_optimizer_and_scheduler

    def full(self: Any, output_dir: str) -> None:
        if self.state.global_step == 6:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(self, output_dir)

    with monkeypatch.context() as patch:
        patch.setattr(ContrastiveTrainer, "_save_optimizer_and_scheduler", full)
        with pytest.raises(DiskFullError, match=f"no space left on the disk of {run}"):
            train_unsup(unsup.data, run, device="cpu", **unsup.settings)
    assert [path.name for path in checkpoints(run)] == ["checkpoint-3"]
    assert not list(run.glob(".*"))
    assert live(unsup, run) == FINISHED
    assert_same_end(run, uninterrupted)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB; needs the right to mount."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", place]).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("room", [20, 250, 550, 800, 1000])
def test_a_disk_that_fills_up(room: int, unsup: Plot, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever file it is that finds no room: one error that names the place."""
    monkeypatch.setattr("simcse_kit.training.preflight.free_bytes", lambda path: 2**40)
    filler = small_disk / "filler"
    filler.write_bytes(bytes(3 * 2**20 - (room + 24) * 1024))
    with pytest.raises(DiskFullError, match=f"no space left on the disk of {small_disk}/run"):
        train_unsup(unsup.data, small_disk / "run", device="cpu", **unsup.settings)
    whole = checkpoints(small_disk / "run")
    filler.unlink()
    for checkpoint in whole:
        SimCSE(checkpoint)
    listener = StopAt(-1)
    train_unsup(unsup.data, small_disk / "run", resume=True, listener=listener, device="cpu", **unsup.settings)
    assert listener.plan is not None
    assert listener.plan.resumed_from == (int(whole[-1].name[11:]) if whole else None)


def test_the_checkpoint_is_the_model_of_its_step(bert: Path, triplets: list[Any], tmp_path: Path) -> None:
    """A checkpoint loads like a model folder, with a head that is part of the model and without one that is not."""
    settings: dict[str, Any] = {"model": bert, "batch_size": 10, "eval_steps": 2, "learning_rate": 1e-3, "epochs": 1}
    for pooling in ("cls", "mean", "avg_first_last"):
        run = tmp_path / pooling
        train_sup(triplets, run, pooling=pooling, train_head="mlp", device="cpu", **settings)
        texts = [row[0] for row in triplets]
        assert_same_vectors(SimCSE(run), SimCSE(run / "checkpoint-2"), texts)
        inside = safetensors.torch.load_file(run / "checkpoint-2/training.safetensors")
        assert "sentence.train_head.linear.weight" in inside
        assert not any("head" in name for name in safetensors.torch.load_file(run / "model.safetensors"))


def test_three_checkpoints_are_kept(uninterrupted: Path, tiny_model: Callable[[str], Path]) -> None:
    best = json.loads((uninterrupted / "simcse_kit.json").read_text())["best_step"]
    names = {path.name for path in checkpoints(uninterrupted)}
    assert {f"checkpoint-{STEPS}", "checkpoint-9", f"checkpoint-{best}"} <= names
    assert len(names) <= 3
