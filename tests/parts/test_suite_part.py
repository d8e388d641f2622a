"""A suite defined only in this file works everywhere: help, eval, comparison, record, card, report."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from inspect import signature
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from simcse_kit import SimCSE, evaluation
from simcse_kit.errors import DataError, MissingExtraError, Notice, SimCSEKitError
from simcse_kit.evaluation import SUITES, Outcome, Suite, SuiteResult, compare, evaluate, evaluate_pairs
from simcse_kit.evaluation.suite import task_of
from simcse_kit.parts import setting
from simcse_kit.report import comparison
from simcse_kit.report.comparison import Measurement, compare_models
from simcse_kit.report.gather import make_report
from simcse_kit.report.render import report_json, report_page
from simcse_kit.types import EncodeFn, ScoredPairs

HERE = Path(__file__)


class LineRow(NamedTuple):
    line: str
    length: float


@dataclass(frozen=True, kw_only=True)
class Longest(Suite):
    """The share of lines whose vector is longer than a threshold."""

    name = "longest"
    help = "Share of long vectors."
    source = "This test (2026)"
    unit = "lines × 100"
    data = "a file of lines"
    task = "other"
    digits = 1

    least: float = setting(1.0, "Least length.", above=0)
    columns: tuple[int, ...] = setting((), "Dimensions to look at. Default: all.")

    def run(self, encode: EncodeFn, data: str | Path, *, show_progress_bar: bool = False) -> SuiteResult:
        lines = Path(data).read_text(encoding="utf-8").splitlines()
        lengths = np.linalg.norm(encode(lines), axis=1)
        long = (lengths > self.least).astype(np.float64)
        return SuiteResult(
            suite=self.name,
            scores={"long": 100 * float(long.mean())},
            details=tuple(LineRow(line, float(length)) for line, length in zip(lines, lengths, strict=True)),
            seconds=0.0,
            sentences=len(lines),
            data=str(data),
            outcomes=(Outcome("long", "mean", long, texts=(lines,)),),
        )


OWN = f"{HERE.stem}:Longest"
short, tall = Longest(least=3), Longest(least=15)


def broken(texts: list[str]) -> np.ndarray:
    raise SimCSEKitError("it broke")


def ones(texts: list[str]) -> np.ndarray:
    """Vectors of the length of each text."""
    return np.array([[len(text), 0.0] for text in texts], dtype=np.float32)


def turned(texts: list[str]) -> np.ndarray:
    """Vectors that turn with the length of each text."""
    return np.array([[1.0, len(text)] for text in texts], dtype=np.float32)


def zeros(texts: list[str]) -> np.ndarray:
    return np.zeros((len(texts), 2), dtype=np.float32)


@pytest.fixture
def lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(HERE.parent)
    path = tmp_path / "lines.txt"
    path.write_text("".join(f"{'x' * i}\n" for i in range(1, 21)), encoding="utf-8")
    return path


@pytest.fixture
def registered() -> Iterator[None]:
    SUITES.register(Longest)
    yield
    del SUITES._parts["longest"]


def invoke(*arguments: object) -> Result:
    from simcse_kit.cli import app  # not at the top: its help lists the suites registered by then

    return CliRunner().invoke(app, [str(argument) for argument in arguments])


# In Python


def test_evaluate_takes_a_name_a_class_and_an_instance(lines: Path, registered: None) -> None:
    for suite in ("longest", Longest, Longest(least=1)):
        result = evaluate(ones, suite, lines)
        assert (result.suite, result.scores) == ("longest", {"long": 95.0})
    assert evaluate(ones, "longest", lines, least=10).scores == {"long": 50.0}
    assert evaluate(ones, Longest(least=10), lines).scores == {"long": 50.0}


def test_one_of_the_users_own_is_recorded_by_its_path(lines: Path) -> None:
    for suite in (OWN, Longest, Longest()):
        assert evaluate(ones, suite, lines).suite == OWN
    with pytest.raises(SimCSEKitError, match=r"suite numpy:array is of type .*, not Suite"):
        evaluate(ones, "numpy:array", lines)


def test_an_unknown_keyword_names_the_nearest(lines: Path) -> None:
    with pytest.raises(
        SimCSEKitError, match=r"the suite transfer has the options tasks, folds; got 'fold'; did you mean f"
    ):
        evaluate(ones, "transfer", lines, fold=3)
    with pytest.raises(
        SimCSEKitError, match=r"the suite sts has no options; got 'show_progress'; did you mean show_pr"
    ):
        evaluate(ones, "sts", lines, show_progress=True)
    with pytest.raises(DataError, match="least must be above 0; got -1"):
        evaluate(ones, OWN, lines, least=-1)


def test_scored_pairs_need_a_suite_that_takes_them() -> None:
    pairs = ScoredPairs(["a"], ["b"], np.ones(1), "pairs")
    with pytest.raises(SimCSEKitError, match=f"suite '{OWN}' needs a folder; for scored pairs use suite \"pairs\""):
        evaluate(ones, Longest, pairs)


def test_a_suite_needs_its_function_alone(lines: Path) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Bare(Suite):
        def run(self, encode: EncodeFn, data: object, *, show_progress_bar: bool = False) -> SuiteResult:
            encode(["a", "b"])
            return SuiteResult(scores={"one": 1.0})

    result = evaluate(zeros, Bare, lines)
    assert result.suite.endswith("<locals>.Bare")
    assert (result.data, result.sentences, result.details) == (str(lines), 2, ())
    assert 0 <= result.seconds < 60
    assert json.loads(json.dumps(result.to_json()))["seconds"] == result.seconds
    assert (
        compare_models([f"{HERE.stem}:zeros"], lines, [Bare])
        .models[0]
        .mean(f"{HERE.stem}:test_a_suite_needs_its_function_alone.<locals>.Bare", "one")
        == 1.0
    )


def test_a_suite_returns_a_result_with_scores(lines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for returned, message in ((3.5, "must return a SuiteResult, .*; got float"), (SuiteResult(scores={}), "no scores")):
        monkeypatch.setattr(Longest, "run", lambda *_, returned=returned, **__: returned)
        with pytest.raises(SimCSEKitError, match=f"run of suite {OWN} .*{message}"):
            evaluate(ones, Longest, lines)


@pytest.mark.parametrize("name", SUITES.names())
def test_every_suite_says_what_it_is_and_agrees_with_its_function(name: str) -> None:
    """The part and the plain function have the same options and defaults."""
    part = SUITES.get(name)
    assert all((part.help, part.source, part.unit, part.data))
    assert all(field.metadata["help"] for field in fields(part))
    function = getattr(evaluation, f"evaluate_{name.replace('-', '_')}")
    options = {key: value for key, value in signature(function).parameters.items() if value.kind == value.KEYWORD_ONLY}
    assert set(options) - {"show_progress_bar"} == {field.name for field in fields(part)}
    for field in fields(part):
        assert field.default in (None, options[field.name].default)


# The models compared


def test_compare_models_is_measuring_and_comparing_one_by_one(lines: Path) -> None:
    names = [f"{HERE.stem}:ones", f"{HERE.stem}:zeros"]
    heard: list[tuple[str, str | None, str]] = []
    found = compare_models(names, lines, [OWN], options={OWN: {"least": 10}}, announce=lambda *said: heard.append(said))
    one, two = (evaluate(encode, Longest(least=10), lines) for encode in (ones, zeros))
    assert [model.mean(OWN, "long") for model in found.models] == [50, 0]
    assert found.differences[names[1], OWN] == compare([one], [two])
    assert found.differences[names[0], OWN] == []
    assert found.intervals[names[0], OWN] == evaluation.intervals(one)
    assert heard == [(name, None, OWN) for name in names]
    assert found.parts[OWN].unit == "lines × 100"


def test_a_suites_own_bar_goes_before_that_of_all(lines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bars: list[bool] = []
    run = Longest.run

    def noting(self: Longest, encode: EncodeFn, data: str, *, show_progress_bar: bool = False) -> SuiteResult:
        bars.append(show_progress_bar)
        return run(self, encode, data)

    monkeypatch.setattr(Longest, "run", noting)
    for options in ({}, {OWN: {"show_progress_bar": True}}):
        compare_models([f"{HERE.stem}:ones"], {OWN: lines}, options=options)
    compare_models([f"{HERE.stem}:ones"], {OWN: lines}, show_progress_bar=True)
    assert bars == [False, True, True]


def test_compare_models_says_what_is_missing(lines: Path) -> None:
    with pytest.raises(SimCSEKitError, match="at least one model"):
        compare_models([], lines, [OWN])
    with pytest.raises(SimCSEKitError, match="name the suites"):
        compare_models(["x"], lines)
    with pytest.raises(SimCSEKitError, match="the suite korsts needs data: a folder with korsts/"):
        compare_models(["x"], {OWN: lines}, [OWN, "korsts"])
    with pytest.raises(SimCSEKitError, match="at least one suite"):
        compare_models(["x"], {})


def test_the_same_model_twice_is_two_models(lines: Path) -> None:
    name = f"{HERE.stem}:ones"
    found = compare_models([name, name], {OWN: lines})
    assert [model.name for model in found.models] == [name, f"{name} (2)"]
    (line,) = found.differences[f"{name} (2)", OWN]
    assert (line.difference, line.verdict) == (0, "no clear difference")


def test_what_was_measured_before_an_error_reaches_the_caller(lines: Path) -> None:
    heard: list[Measurement] = []
    with pytest.raises(SimCSEKitError, match="it broke"):
        compare_models([f"{HERE.stem}:ones", f"{HERE.stem}:broken"], {OWN: lines}, on_measured=heard.append)
    assert [(one.model, one.result.scores) for one in heard] == [(f"{HERE.stem}:ones", {"long": 95.0})]


def test_eval_and_report_call_the_same_function(lines: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object, **more: object) -> object:
        raise SimCSEKitError("evaluate was called")

    monkeypatch.setattr(comparison, "evaluate", refuse)
    done = invoke("eval", f"{HERE.stem}:ones", "--suite", OWN, "--data", lines)
    assert str(done.exception) == "evaluate was called"
    with pytest.raises(SimCSEKitError, match="evaluate was called"):
        make_report([f"{HERE.stem}:ones"], {OWN: lines})


def test_two_objects_of_one_class_are_two_suites(lines: Path) -> None:
    """Each is recorded by the path used to name it."""
    names = [f"{HERE.stem}:short", f"{HERE.stem}:tall"]
    assert evaluate(ones, names[0], lines).suite == names[0]
    found = compare_models([f"{HERE.stem}:ones"], lines, names)
    assert [found.models[0].mean(name, "long") for name in names] == [85, 25]
    assert [found.models[0].results[name][0].suite for name in names] == names
    done = invoke("eval", f"{HERE.stem}:ones", "--suite", ",".join(names), "--data", lines)
    assert all(f"{name}: lines × 100" in done.output for name in names), done.output


# On the command line


def test_the_help_lists_a_registered_suite_with_its_options() -> None:
    code = (
        "import sys; from test_suite_part import Longest; from simcse_kit.evaluation import SUITES;"
        "SUITES.register(Longest); from simcse_kit.cli import main; sys.argv = ['simcse-kit', 'eval', '--help']; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=HERE.parent)
    said = " ".join(done.stdout.split())
    for text in (
        "longest Share of long vectors. Data: a file of lines.",
        "longest: Least length. Default: 1.0.",
        "--columns",
    ):
        assert text in said, done.stderr


def test_eval_compare_record_and_card(lines: Path, tmp_path: Path, tiny_model: Callable[[str], Path]) -> None:
    model, scores = tmp_path / "model", tmp_path / "scores.json"
    SimCSE(tiny_model("bert"), pooling="mean", device="cpu").save(model)
    done = invoke("eval", model, "--suite", OWN, "--data", f"{OWN}={lines}", "--json", scores, "--details", "--record")
    assert done.exit_code == 0, done.output
    assert f"{OWN}: lines × 100" in done.output
    written = json.loads(scores.read_text(encoding="utf-8"))
    assert written["suite"] == OWN
    (entry,) = json.loads((model / "simcse_kit.json").read_text(encoding="utf-8"))["evaluation"]
    assert (entry["suite"], entry["scores"], entry["task"]) == (OWN, written["scores"], "other")
    card = (model / "README.md").read_text(encoding="utf-8")
    assert f"Suite `{OWN}`" in card
    assert "type: other" in card
    two = invoke("eval", f"{HERE.stem}:zeros", f"{HERE.stem}:ones", "--suite", OWN, "--data", lines)
    assert "95 % interval" in two.output
    assert "better" in two.output


def test_the_card_does_not_import_a_suite_that_a_folder_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "suite_of_a_stranger.py").write_text("raise SystemExit('it ran')\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert task_of("suite_of_a_stranger:Suite") == "sentence-similarity"
    assert task_of("transfer") == "text-classification"
    assert task_of("retrieval") == "text-retrieval"
    assert task_of("mteb") == "sentence-similarity"


def retrieval(folder: Path) -> Path:
    (folder / "corpus.jsonl").write_text('{"_id": "a", "text": "a cat"}\n', encoding="utf-8")
    (folder / "queries.jsonl").write_text('{"_id": "q", "text": "cat"}\n', encoding="utf-8")
    return folder


def test_options_go_to_the_suites_that_have_them(lines: Path, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("sentence1,sentence2,score\nx,xx,1\nxx,xxx,2\nxx,x,5\n", encoding="utf-8")
    function = f"{HERE.stem}:ones"
    with pytest.warns(Notice, match="--folds is ignored: only transfer uses it"):
        done = invoke("eval", function, "--suite", "pairs", "--data", pairs, "--folds", 3)
    assert done.exit_code == 0, done.output
    path = tmp_path / "one.json"
    done = invoke("eval", f"{HERE.stem}:turned", "--suite", "geometry", "--data", pairs, "--dedupe", "--json", path)
    assert done.exit_code == 0, done.output
    uniformity = json.loads(path.read_text(encoding="utf-8"))["uniformity"]
    assert uniformity == evaluation.evaluate_geometry(turned, pairs, dedupe=True).uniformity
    assert uniformity != evaluation.evaluate_geometry(turned, pairs).uniformity
    refused = invoke("eval", function, "--suite", "retrieval", "--data", retrieval(tmp_path), "--split", "dev")
    assert "dev.tsv is missing" in str(refused.exception)
    refused = invoke("eval", function, "--suite", "geometry", "--data", pairs, "--split", "tset")
    assert str(refused.exception) == "split must be one of all, train, dev, test; got 'tset'"
    refused = invoke("eval", function, "--suite", "transfer", "--data", pairs, "--folds", 1)
    assert refused.exit_code == 2
    assert "tasks must be one of MR, CR, SUBJ, MPQA, SST2, TREC, MRPC; got 'NO'" in str(
        invoke("eval", function, "--suite", "transfer", "--data", pairs, "--tasks", "MR,NO").exception
    )


def test_download_is_for_suites_that_can(lines: Path) -> None:
    refused = invoke("eval", f"{HERE.stem}:ones", "--suite", "pairs", "--data", lines, "--download")
    assert str(refused.exception) == (
        "--download fetches the data of the suite sts; give the data of other suites with --data"
    )
    with pytest.raises(SimCSEKitError, match="the data of the suite korsts cannot be downloaded"):
        SUITES.get("korsts")().download(lines)


def test_a_suite_of_the_users_own_can_download(lines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(self: Suite, folder: str | Path) -> Path:
        Path(folder).write_text("xx\nx\n", encoding="utf-8")
        return Path(folder)

    monkeypatch.setattr(Longest, "can_download", True)
    monkeypatch.setattr(Longest, "download", download)
    done = invoke("eval", f"{HERE.stem}:ones", "--suite", OWN, "--data", tmp_path / "fetched", "--download")
    assert done.exit_code == 0, done.output
    assert "50.0" in done.output


# In a report


def test_a_report_shows_it(lines: Path) -> None:
    report = make_report([f"{HERE.stem}:ones", f"{HERE.stem}:zeros"], {OWN: lines}, options={OWN: {"least": 10}})
    page = report_page(report)
    assert f"{OWN}, long (lines × 100). " in page.lead
    assert page.sections[0].tables[0].rows[0][1].startswith("50.0 ")  # its digits
    assert report_json(report)["models"][0]["results"][0]["suite"] == OWN


def test_a_suite_may_say_beside_which_a_report_measures_it(
    lines: Path, registered: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Longest, "beside", ("pairs",))
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("sentence1,sentence2,score\nx,xx,1\nxx,xxx,2\nxxx,x,5\n", encoding="utf-8")
    report = make_report([f"{HERE.stem}:ones"], {"pairs": pairs})
    assert report.suites == ["pairs", "geometry", "longest"]
    assert report.models[0].results["pairs"][0].scores == pytest.approx(evaluate_pairs(ones, pairs).scores, nan_ok=True)


def test_mteb_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"simcse-kit\[mteb\]"):
        evaluate(ones, "mteb", "STSBenchmark")
