"""A report shows the measured numbers, the same as in single measurements, in every format."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import rankdata
from typer.testing import CliRunner

from simcse_kit import SimCSE, compare, evaluate_pairs, train_unsup
from simcse_kit.cli import app
from simcse_kit.data import sample_pairs_path
from simcse_kit.encoding.embedders import Embedder
from simcse_kit.errors import SimCSEKitError
from simcse_kit.evaluation import intervals
from simcse_kit.report.charts import color_of
from simcse_kit.report.comparison import _Remembering
from simcse_kit.report.gather import Report, make_report, read_log
from simcse_kit.report.render import report_json, report_page, write_report
from simcse_kit.training.seeds import train_seeds

PAIRS = sample_pairs_path()
SETTINGS = {"pooling": "mean", "epochs": 1, "batch_size": 8, "eval_steps": 2, "eval_data": PAIRS, "device": "cpu"}


@pytest.fixture(scope="module")
def runs(
    tiny_model: Callable[[str], Path], sentences: list[str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A training run, and one recipe under two seeds."""
    folder = tmp_path_factory.mktemp("runs")
    start = {"model": str(tiny_model("bert")), **SETTINGS}
    train_unsup(sentences, folder / "plain", seed=1, **start)
    train_seeds("unsup", sentences, folder / "hot", [1, 2], temperature=0.5, learning_rate=1e-3, **start)
    return folder / "plain", folder / "hot"


@pytest.fixture(scope="module")
def report(runs: tuple[Path, Path]) -> Report:
    return make_report(runs)


def scored(folder: Path) -> object:
    model = SimCSE(folder, device="cpu")
    with model.full_length():
        return evaluate_pairs(model.encoder_fn(), PAIRS)


def test_its_scores_and_differences_are_those_of_measuring(report: Report, runs: tuple[Path, Path]) -> None:
    plain, hot = runs
    one, two = scored(plain), [scored(hot / f"seed-{seed}") for seed in (1, 2)]
    assert [model.name for model in report.models] == ["plain", "hot"]
    assert report.suites == ["pairs", "geometry"]
    assert report.main_score == "spearman"
    assert report.models[0].results["pairs"][0].scores == pytest.approx(one.scores)
    assert report.models[1].mean("pairs", "spearman") == pytest.approx(
        np.mean([result.scores["spearman"] for result in two])
    )
    written = report_json(report)
    assert written == json.loads(json.dumps(written))
    for line, told in zip(compare([one], two), written["models"][1]["against_the_first"], strict=True):
        assert (told["score"], told["verdict"]) == (line.score, line.verdict)
        assert told["difference"] == pytest.approx(line.difference)
        assert told["interval"] == pytest.approx(list(line.interval))
    assert written["models"][0]["results"][0]["intervals"]["spearman"] == pytest.approx(
        list(intervals(one)["spearman"])
    )
    assert any("evaluation data of" in note and "selected its checkpoint" in note for note in report.notes)
    for score, told in written["models"][1]["summary"]["pairs"].items():
        assert told["mean"] == pytest.approx(np.mean([result.scores[score] for result in two]))
        assert told["spread"] == pytest.approx(np.std([result.scores[score] for result in two], ddof=1))
        assert told["interval"] == pytest.approx(list(intervals(*two)[score]))


def test_the_worst_pairs_are_those_of_a_plain_loop(report: Report) -> None:
    (outcome,) = (o for o in report.models[0].results["pairs"][0].outcomes if o.score == "spearman")
    errors = (rankdata(outcome.values) - rankdata(outcome.gold)) / len(outcome.gold)
    worst = report_json(report)["models"][0]["worst_pairs"]
    assert [pair["error"] for pair in worst] == pytest.approx([*sorted(errors)[::-1][:5], *sorted(errors)[:5]])
    for pair in worst:
        row = [*zip(*outcome.texts, strict=True)].index((pair["first"], pair["second"]))
        assert pair["error"] == pytest.approx(errors[row])


def test_the_log_of_a_run_is_what_it_wrote(runs: tuple[Path, Path], tmp_path: Path) -> None:
    lines = [json.loads(line) for line in (runs[0] / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    log = read_log(runs[0])
    assert log is not None
    assert log.scores == [(line["step"], line["eval_spearman"]) for line in lines if "eval_spearman" in line]
    assert log.losses == [(line["step"], line["loss"]) for line in lines if "loss" in line]
    assert log.saved_step == json.loads((runs[0] / "simcse_kit.json").read_text(encoding="utf-8"))["best_step"]
    assert dict(log.scores)[log.saved_step] == max(score for _, score in log.scores)  # the start's, step 0, too
    assert read_log(tmp_path) is None


def test_each_format_says_the_same(report: Report, tmp_path: Path) -> None:
    for ending in ("html", "md", "json"):
        write_report(report, tmp_path / f"report.{ending}")
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    score = f"{report.models[0].mean('pairs', 'spearman'):.2f}"
    spread = np.std([result.scores["spearman"] for result in report.models[1].results["pairs"]], ddof=1)
    for text in (html, markdown):
        assert score in text
        assert f"± {spread:.2f}" in text
        assert "learning rate 0.001" in text
    assert html.count("<svg") == len(report_page(report).sections[1].figures) == 6
    assert "<script" not in html
    addresses = set(re.findall(r'(?:src|href|url)\s*[=(]\s*["\']?([^"\')\s>]+)', html))
    assert all(address.startswith("#") for address in addresses), addresses
    assert "<svg" not in markdown
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8")) == report_json(report)


FUNCTION = """
import numpy as np

def embed(texts):
    rows = np.array([[text.count(letter) for letter in "etaoinshrdlu"] for text in texts], dtype=float)
    return (rows - rows.mean(0)) / (rows.std(0) + 1e-9)  # by all that it gets, as whitening does
"""


def test_a_function_gets_what_it_gets_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "letters_of_this_test.py").write_text(FUNCTION, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    report = make_report(["letters_of_this_test:embed"], {"pairs": PAIRS})
    import letters_of_this_test  # type: ignore[import-not-found]

    assert report.suites == ["pairs", "geometry"]
    alone = evaluate_pairs(letters_of_this_test.embed, PAIRS)
    assert report.models[0].results["pairs"][0].scores == pytest.approx(alone.scores)
    assert report.models[0].sentences_per_second > 0
    assert "training" not in [figure.title.lower() for figure in report_page(report).sections[1].figures]


def test_a_model_encodes_each_text_once_and_the_warm_up_is_not_timed() -> None:
    calls: list[list[str]] = []

    def encode(texts: Sequence[str]) -> np.ndarray:
        calls.append(list(texts))
        return np.array([[len(text), 1] for text in texts], dtype=np.float32)

    remembering = _Remembering(Embedder("m", "mean", encode, nullcontext, "cpu"))
    texts = ["x" * i for i in range(1, 100)]
    np.testing.assert_array_equal(remembering([*texts, *texts])[:, 0], [*range(1, 100), *range(1, 100)])
    np.testing.assert_array_equal(remembering(["new", *texts[::-1]])[:, 0], [3, *range(99, 0, -1)])
    assert calls == [texts[:64], texts, ["new"]]
    assert len(remembering([])) == 0


def test_a_suite_without_pairs_has_no_pairs_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "letters_of_this_test.py").write_text(FUNCTION, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpus.jsonl").write_text('{"_id": "a", "text": "a cat"}\n{"_id": "b", "text": "a dog"}\n')
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "cat"}\n')
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\ta\t1\n")
    report = make_report(["letters_of_this_test:embed"], {"retrieval": tmp_path})
    titles = [section.title for section in report_page(report).sections]
    assert titles == ["", "Pictures", "How to read this"]
    assert report_json(report)["models"][0]["worst_pairs"] == []


def test_what_cannot_be_reported_says_what_to_do(runs: tuple[Path, Path], tiny_model: Callable[[str], Path]) -> None:
    with pytest.raises(SimCSEKitError, match=r"none of the models is a run.*--data"):
        make_report([tiny_model("bert")])
    with pytest.raises(SimCSEKitError, match="twice: "):
        make_report([runs[0], runs[0]])
    with pytest.raises(SimCSEKitError, match="at least one"):
        make_report([])


def changed(run: Path, folder: Path, **values: object) -> Path:
    """A copy of a run with another run.json."""
    shutil.copytree(run, folder)
    record = json.loads((folder / "run.json").read_text(encoding="utf-8")) | values
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def test_why_a_runs_own_data_cannot_be_used_is_said(runs: tuple[Path, Path], tmp_path: Path) -> None:
    none = changed(runs[0], tmp_path / "none", eval_data=None)
    gone = changed(runs[0], tmp_path / "gone", eval_data={"source": "gone.tsv", "path": "/gone.tsv", "sha256": ""})
    hub = changed(runs[0], tmp_path / "hub", eval_data={"source": "hf:no/such", "sha256": ""})
    with pytest.raises(SimCSEKitError) as error:
        make_report([none, gone, hub])
    for reason in (f"{none} had no evaluation data", f"{gone} used gone.tsv, which does not exist", "hf:no/such"):
        assert reason in str(error.value)


def test_a_run_that_has_not_ended_is_refused_before_anything_is_measured(
    runs: tuple[Path, Path], tmp_path: Path
) -> None:
    killed = tmp_path / "killed"
    shutil.copytree(runs[0], killed)
    for path in killed.glob("*"):
        if path.is_file() and path.name != "run.json":
            path.unlink()
    for step in (2, 10):
        (killed / f"checkpoint-{step}").mkdir(exist_ok=True)
    heard: list[str] = []
    with pytest.raises(SimCSEKitError, match=r"has not finished; its last checkpoint is .*checkpoint-10"):
        make_report([runs[0], killed], announce=heard.append)
    (killed / "run.json").write_text("{", encoding="utf-8")
    with pytest.raises(SimCSEKitError, match=r"run\.json"):
        make_report([runs[0], killed], announce=heard.append)
    assert heard == []


def test_values_that_are_not_defined_leave_no_trace_in_the_json(runs: tuple[Path, Path], tmp_path: Path) -> None:
    own = changed(runs[0], tmp_path / "run")
    lines = (own / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    odd = [re.sub(r'"eval_alignment": [^,]+', '"eval_alignment": NaN', line) for line in lines]
    (own / "metrics.jsonl").write_text("\n".join([*odd, '{"step": 99, "lo']), encoding="utf-8")
    write_report(make_report([own]), tmp_path / "report.json")

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    (model,) = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"), parse_constant=refuse)["models"]
    assert model["runs"][0]["geometry"] == []
    assert len(model["runs"][0]["scores"]) == sum("eval_spearman" in line for line in lines)


def test_a_model_has_one_colour_in_all_pictures(runs: tuple[Path, Path], tiny_model: Callable[[str], Path]) -> None:
    page = report_page(make_report([tiny_model("bert"), runs[0]], {"pairs": PAIRS}, pooling="mean"))
    figures = {figure.title: figure.picture.svg() for figure in page.sections[1].figures}
    first, second = (color_of(["bert", "plain"], name) for name in ("bert", "plain"))
    assert second in figures["Training"]
    assert first not in figures["Training"]
    assert {first, second} <= set(re.findall("#[0-9a-f]{6}", figures["Alignment and uniformity"]))
    assert second in figures["Similarity against gold: plain"]
    assert "plain" in re.findall("<!-- (.+?) -->", figures["Training"])  # in a legend


def test_changed_evaluation_data_is_said(runs: tuple[Path, Path], tmp_path: Path) -> None:
    other = tmp_path / "pairs.tsv"
    other.write_text("".join(PAIRS.read_text(encoding="utf-8").splitlines(keepends=True)[:50]), encoding="utf-8")
    record = json.loads((runs[0] / "run.json").read_text(encoding="utf-8"))["eval_data"]
    own = changed(runs[0], tmp_path / "run", eval_data=record | {"path": str(other)})
    assert any("has changed since" in note for note in make_report([own]).notes)


def test_the_command(runs: tuple[Path, Path], tmp_path: Path) -> None:
    def run(*arguments: object) -> str:
        result = CliRunner().invoke(app, ["report", *map(str, arguments)])
        return result.output if result.exception is None else str(result.exception)

    target = tmp_path / "report.md"
    assert "wrote" in run(*runs, "-o", target)
    first = target.read_text(encoding="utf-8")
    assert first.startswith("# Report: plain, hot\n")
    assert "exists; replace it with --overwrite" in run(*runs, "-o", target)
    assert target.read_text(encoding="utf-8") == first
    assert "wrote" in run(runs[0], "-o", target, "--overwrite", "--data", PAIRS, "--suite", "pairs")
    assert target.read_text(encoding="utf-8").startswith("# Report: plain\n")
    assert "the format of a report must be one of html, md, json; got 'txt'" in run(
        *runs, "-o", tmp_path / "report.txt"
    )
    assert "does not exist" in run(*runs, "-o", tmp_path / "nothing" / "report.html")
    assert "is a folder; name a file" in run(*runs, "-o", tmp_path, "--format", "md")
    assert "--suite needs --data" in run(*runs, "-o", tmp_path / "new.md", "--suite", "transfer")
    assert "wrote" in run(runs[0], "-o", tmp_path / "report.txt", "--format", "json")
    assert json.loads((tmp_path / "report.txt").read_text(encoding="utf-8"))["models"][0]["model"] == "plain"


@pytest.mark.parametrize("rows", [["a cat,a dog,3"], ["a cat,a dog,3", "the sun,rain,3"]])
def test_what_is_not_defined_is_said_and_no_nan_is_shown(
    rows: list[str], tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join(["sentence1,sentence2,score", *rows]), encoding="utf-8")
    report = make_report([tiny_model("bert")], {"pairs": path}, pooling="mean", device="cpu")
    for ending in ("html", "md", "json"):
        write_report(report, tmp_path / f"report.{ending}")
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "nan" not in text.lower()
    why = "pairs has fewer than two pairs" if len(rows) == 1 else "all gold scores, or all similarities, are equal"
    assert f"a correlation is not defined: {why}" in text
    assert "Pairs to read" not in text
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["models"][0]["worst_pairs"] == []
