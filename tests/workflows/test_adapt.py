"""`adapt`: the method for given texts, which model is saved, and errors before any work."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simcse_kit import SimCSE, adapt
from simcse_kit.data import LabelledTexts
from simcse_kit.data.id_column import find_id_column
from simcse_kit.errors import DataError, Notice, SimCSEKitError, TrainingError
from simcse_kit.evaluation.judgements import record_use, used_queries
from simcse_kit.evaluation.retrieval import load_retrieval
from simcse_kit.evaluation.signs import SearchSigns
from simcse_kit.workflows import adapt as module
from simcse_kit.workflows.texts import read_texts
from support.commands import run
from support.tiny import SENTENCES

pytestmark = pytest.mark.filterwarnings("ignore::simcse_kit.errors.Notice")
TEXTS = [f"{sentence} {number}" for number in range(14) for sentence in SENTENCES]  # 560
CLASSES = LabelledTexts(TEXTS, [str(i % 3) for i in range(len(TEXTS))], "texts")


@pytest.fixture(scope="session")
def start(tiny_model: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny sentence encoder with another pooling."""
    folder = tmp_path_factory.mktemp("start") / "model"
    SimCSE(tiny_model("bert"), pooling="mean", device="cpu").save(folder)
    return folder


def vectors(folder: Path) -> Any:
    return SimCSE(folder, device="cpu").encode(SENTENCES)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_short_texts_learn_their_neighbourhoods(start: Path, tmp_path: Path) -> None:
    made = adapt(TEXTS[:120], start, tmp_path / "out", device="cpu")
    assert made.method.name == "neighbors"
    assert made.gate is None  # below 500 texts
    assert made.training.steps >= 100
    assert not made.kept_start
    assert (vectors(tmp_path / "out") != vectors(start)).any()
    assert not (tmp_path / "out" / "targets").exists()
    said = dict(made.lines())
    assert list(said) == ["data", "method", "gate", "figures", "next"]
    assert said["gate"].startswith("none: it needs 500")
    assert "better" not in " ".join(said.values())  # nothing was measured
    assert said["next"] == f"simcse-kit index build {tmp_path / 'out'} TEXTS my-index"  # a list has no file
    written = json.loads((tmp_path / "out" / "adapt.json").read_text(encoding="utf-8"))
    assert written["lines"] == said
    assert (
        json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))["arguments"]["objective"] == "neighbors"
    )


def test_titles_teach_where_there_are_some(start: Path, tmp_path: Path) -> None:
    rows = [
        {"_id": str(i), "title": SENTENCES[i % 40][:20] + f" {i}", "text": " ".join(SENTENCES[i % 30 : i % 30 + 6])}
        for i in range(80)
    ]
    made = adapt(write(tmp_path / "corpus.jsonl", rows), start, tmp_path / "out", device="cpu")
    assert made.method.name == "parts"
    assert made.method.data[0] == (rows[0]["title"], rows[0]["text"])
    assert made.training.steps == 3 * 5  # 80 documents, batches of 16
    assert made.next[-2:] == ["--id-column", "_id"]
    assert list((tmp_path / "out").glob("checkpoint-*")) == []  # a complete run needs none
    assert "| data | corpus.jsonl, 80 rows" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("ids", "found"),
    [(["a", "b"], "Id"), ([1, 2], "Id"), (["a", "a"], None), (["a", 2], None), (["a", ""], None), ([1.5, 2.5], None)],
)
def test_a_column_of_ids_has_each_id_once(ids: list[Any], found: str | None, tmp_path: Path) -> None:
    rows = [{"text": "a", "Id": name} for name in ids]
    assert find_id_column(write(tmp_path / "rows.jsonl", rows)) == found
    (tmp_path / "rows.txt").write_text("id\na\n", encoding="utf-8")
    assert find_id_column(tmp_path / "rows.txt") is None


def test_two_columns_of_one_length_are_short_texts(tmp_path: Path) -> None:
    rows = [{"title": f"a {i}", "text": f"b {i}"} for i in range(60)]
    found = read_texts(write(tmp_path / "rows.jsonl", rows))
    assert found.texts[0] == "a 0 b 0"
    assert found.parts is not None  # the method chooses which of them train


def test_a_body_that_begins_with_its_title_is_not_written_twice(tmp_path: Path) -> None:
    rows = [{"title": f"On cats {i}", "text": f"On cats {i}. They sleep."} for i in range(60)]
    assert read_texts(write(tmp_path / "rows.jsonl", rows)).texts[0] == "On cats 0. They sleep."


def test_a_title_is_not_asked_of_a_body_that_repeats_it(tmp_path: Path) -> None:
    """A text would be found by its own words; a body equal to the title teaches nothing."""
    rows = [{"title": f"On cats {i}", "text": f"On cats {i} . They sleep."} for i in range(60)]
    parts = read_texts(write(tmp_path / "rows.jsonl", [*rows, {"title": "On dogs", "text": "On dogs"}])).parts
    assert parts == [(f"On cats {i}", "They sleep.") for i in range(60)]


def test_held_out_texts_are_not_trained_on_and_stay_the_same() -> None:
    found, again = read_texts(TEXTS), read_texts(TEXTS)
    assert len(found.held_out) == len(TEXTS) // 10
    assert not {*found.held_out} & {*found.texts}
    assert {*found.held_out} | {*found.texts} == {*TEXTS}
    assert found.held_out == again.held_out
    assert read_texts([*TEXTS, *TEXTS, ""]).dropped == len(TEXTS) + 1


def test_the_start_model_is_kept_where_the_gate_fails(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second look finds neighbourhoods that fell apart."""
    seen: list[SearchSigns] = []

    def worse(encode: Any, texts: list[str]) -> SearchSigns:
        value = 0.1 if seen else 0.6
        seen.append(SearchSigns(*(np.full(len(texts), value) for _ in SearchSigns._fields)))
        return seen[-1]

    monkeypatch.setattr(module, "signs", worse)
    made = adapt(TEXTS, start, tmp_path / "out", device="cpu")
    assert made.gate is not None
    assert not made.gate.passed
    assert made.kept_start
    assert (vectors(tmp_path / "out") == vectors(start)).all()
    assert "the start model is saved" in dict(made.lines())["figures"]
    assert json.loads((tmp_path / "out" / "adapt.json").read_text(encoding="utf-8"))["kept_start"]


def test_classes_of_held_out_texts_decide_in_place_of_the_gate(start: Path, tmp_path: Path) -> None:
    """Classes that teach move the gate's signs and do no harm."""
    made = adapt(CLASSES, start, tmp_path / "out", device="cpu")
    assert made.texts.held_out
    assert made.gate is None
    assert dict(made.lines())["gate"] == "not needed: the classes of the held-out texts decide"
    assert made.figures is not None
    assert made.kept_start == (made.figures.verdict != "better")


def test_overwriting_leaves_the_earlier_model_until_all_is_measured(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop after the training, before the record: the folder is unchanged, and `resume` continues the new run."""
    rows = [{"title": f"{text} {i}", "text": " ".join(SENTENCES[i : i + 8])} for i, text in enumerate(SENTENCES)]
    path, out = (
        write(tmp_path / "corpus.jsonl", rows + [{**row, "title": row["title"] + "!"} for row in rows]),
        tmp_path,
    )

    def content() -> dict[str, bytes]:
        return {str(file): file.read_bytes() for file in (out / "out").rglob("*") if file.is_file()}

    def killed(*arguments: Any) -> None:
        raise KeyboardInterrupt

    adapt(path, start, out / "out", device="cpu")
    before = content()
    with monkeypatch.context() as patch:
        patch.setattr(module, "_record", killed)
        with pytest.raises(KeyboardInterrupt):
            adapt(path, start, out / "out", device="cpu", seed=1, overwrite=True)
    assert content() == before
    made = adapt(path, start, out / "out", device="cpu", seed=1, resume=True)
    assert made.output_dir == made.training.output_dir == out / "out"
    assert content().keys() == before.keys()
    assert json.loads((out / "out" / "run.json").read_text(encoding="utf-8"))["arguments"]["seed"] == 1
    assert sorted(file.name for file in out.iterdir()) == ["corpus.jsonl", "out"]
    with pytest.raises(TrainingError, match=r"--overwrite would delete .*out, which this run needs"):
        adapt(path, out / "out", out / "out", device="cpu", overwrite=True)


def test_a_run_that_is_stopped_before_its_check_leaves_no_model(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trained model could be worse than the start model, so it must not look like a result."""

    def killed(*arguments: Any) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(module, "gate", killed)
        with pytest.raises(KeyboardInterrupt):
            adapt(TEXTS, start, out, device="cpu")
    assert not out.is_dir() or not [*out.iterdir()]
    with pytest.raises(TrainingError, match=r"a run for .*out was stopped; it is in .*\.out\.running"):
        adapt(TEXTS, start, out, device="cpu")
    made = adapt(TEXTS, start, out, device="cpu", resume=True)
    assert (out / "adapt.json").is_file()
    assert made.training.output_dir == out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def judged(folder: Path, texts: list[str]) -> Path:
    """Ten queries, each answered by one of the texts."""
    (folder / "qrels").mkdir(parents=True)
    write(folder / "corpus.jsonl", [{"_id": str(i), "text": text} for i, text in enumerate(texts)])
    write(folder / "queries.jsonl", [{"_id": f"q{i}", "text": texts[i].split()[0]} for i in range(10)])
    rows = "".join(f"q{i}\t{i}\t1\n" for i in range(10))
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + rows, encoding="utf-8")
    return folder


def test_judgements_decide(start: Path, tmp_path: Path) -> None:
    made = adapt(TEXTS[:60], start, tmp_path / "out", judgements=judged(tmp_path / "judged", TEXTS[:60]), device="cpu")
    assert made.figures is not None
    assert made.figures.score == "ndcg@10"
    assert made.kept_start == (made.figures.interval.low <= 0)
    assert made.results is not None
    assert made.figures.first == pytest.approx(made.results[0].scores["ndcg@10"])
    line = dict(made.lines())["figures"]
    assert made.figures.verdict in line
    used = used_queries(tmp_path / "out").values()
    assert {(query.text, query.purpose) for query in used} == {(text.split()[0], "selection") for text in TEXTS[:10]}
    assert "95 % interval" in line


def test_queries_that_the_start_model_has_used_do_not_measure(start: Path, tmp_path: Path) -> None:
    folder = judged(tmp_path / "judged", TEXTS[:60])
    queries = [*load_retrieval(folder).queries.values()]
    used = shutil.copytree(start, tmp_path / "used")
    record_use(used, queries[:4], purpose="selection")
    with pytest.warns(Notice, match="of 10 judged queries were used to train or select .*used; they do not count"):
        left = module._judged_queries(folder, used)
    assert set(left) == {*queries} - {*queries[:4]}
    found = module._figures(SimCSE(used, device="cpu"), read_texts(TEXTS), folder, used)
    assert found is not None
    assert set(found.outcomes[0].texts[0]) == set(left)
    record_use(used, queries, purpose="selection")
    with pytest.raises(DataError, match=r"10 of 10 judged queries were used .* judge other queries"):
        adapt(TEXTS[:60], used, tmp_path / "out", judgements=folder)


def test_judged_queries_do_not_train(tmp_path: Path) -> None:
    """Not as a text, whatever its white space, and not as a title."""
    with pytest.warns(Notice, match="2 of the texts of <memory> are judged queries"):
        found = read_texts([*TEXTS, "lost  card"], queries=["lost card", TEXTS[7], "not there"])
    assert {*found.texts, *found.held_out} == {*TEXTS} - {TEXTS[7]}
    assert found.count == len(TEXTS) - 1
    assert TEXTS[7] not in read_texts(CLASSES, queries=TEXTS[7:8]).texts
    rows = [{"title": f"title {i}", "text": f"The body of {i}"} for i in range(60)]
    parts = read_texts(write(tmp_path / "rows.jsonl", rows), queries=["title 3"]).parts
    assert parts == [(row["title"], row["text"]) for row in rows if row["title"] != "title 3"]


@pytest.mark.parametrize(
    ("texts", "settings", "error", "message"),
    [
        (TEXTS[:49], {}, TrainingError, "holds 49 distinct texts; adapting needs 50"),
        (["the same"] * 600, {}, TrainingError, "holds only one text, 'the same'; adapting needs 50"),
        ("nowhere.txt", {}, DataError, "nowhere.txt does not exist"),
        (TEXTS, {"text_column": "a", "columns": ["b"]}, TrainingError, "both name the column"),
        (CLASSES, {"columns": ["text"]}, TrainingError, "columns does not apply to labelled texts"),
        (CLASSES, {"header": False}, TrainingError, "header does not apply to labelled texts"),
        (CLASSES, {"skip_bad_rows": True}, TrainingError, "skip_bad_rows does not apply to labelled texts"),
        (CLASSES, {"teacher": "larger"}, TrainingError, "a teacher is for texts without classes"),
        (CLASSES._replace(labels=["a"]), {}, TrainingError, "each text needs one label"),
        (CLASSES._replace(labels=TEXTS), {}, TrainingError, "only 0 of 504 classes have two different texts"),
    ],
)
def test_refused_before_any_work(
    texts: Any, settings: dict[str, Any], error: type[SimCSEKitError], message: str, start: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        adapt(texts, start, tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_classes_that_do_not_exist_or_do_not_differ(start: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text,kind\n" + "".join(f'"{text}",one\n' for text in TEXTS[:60]), encoding="utf-8")
    with pytest.raises(DataError, match="label"):
        adapt(path, start, tmp_path / "out", label_column="label")
    with pytest.raises(TrainingError, match="all 60 texts have the class 'one'"):
        adapt(path, start, tmp_path / "out", label_column="kind")
    assert not (tmp_path / "out").exists()


def test_a_text_with_two_classes_is_said() -> None:
    with pytest.warns(Notice, match="1 of the texts have more than one class"):
        found = read_texts(LabelledTexts([*TEXTS, TEXTS[0], TEXTS[0]], [*CLASSES.labels, "b", "c"], "texts"))
    assert TEXTS[0] in found.texts
    assert dict(zip(found.texts, found.labels or [], strict=True))[TEXTS[0]] == "c"


def test_names_that_stand_in_many_rows_are_no_titles(tmp_path: Path) -> None:
    rows = [{"name": f"sender {i % 9}", "message": text} for i, text in enumerate(TEXTS[:60])]
    with pytest.warns(
        Notice,
        match="column 'name' has only 9 different values in 60 rows, so it is not a title; only column 'message'",
    ):
        found = read_texts(write(tmp_path / "rows.jsonl", rows))
    assert found.texts == TEXTS[:60]
    assert found.parts is None


def test_a_start_model_without_pooling(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(SimCSEKitError, match=r"adapting needs a sentence encoder.*First train it"):
        adapt(TEXTS[:60], tiny_model("bert"), tmp_path / "out", device="cpu")
    assert not (tmp_path / "out").exists()


def test_the_command_prints_five_lines(start: Path, tmp_path: Path) -> None:
    """The printed commands run unchanged: names are quoted, the column of the texts is named."""
    path, out = tmp_path / "my texts.csv", tmp_path / "out [1]"
    rows = "".join(f'{i % 3},"{text}",t{i}\n' for i, text in enumerate(TEXTS[:60]))
    path.write_text("team,body,ID\n" + rows, "utf-8")
    asked = (
        "adapt",
        path,
        "--model",
        start,
        "--output-dir",
        out,
        "--device",
        "cpu",
        "--label-column",
        "team",
        "--text-column",
        "body",
    )
    done = run(*asked)
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert list(lines) == ["data", "method", "gate", "figures", "to", "next:"]
    assert lines["figures"].strip() == "none: fewer than 500 texts, so none are held out for measuring"
    options = ["--columns", "body"]
    build = ["simcse-kit", "index", "build", str(out), str(path), "my-index", *options, "--id-column", "ID"]
    assert shlex.split(lines["next:"]) == build
    judge = shlex.split(lines["to"].removeprefix("measure: "))
    assert judge == ["simcse-kit", "judge", str(start), str(out), str(path), "--output", "judged", *options]
    built = run(*shlex.split(lines["next:"])[1:], cwd=tmp_path)
    assert built.returncode == 0, built.stderr
    assert "rows are numbered" not in built.stderr
    assert "a terminal" in run(*judge[1:], cwd=tmp_path).stderr  # all that is missing
    again = run(*asked)
    assert again.returncode == 1
    assert "not empty" in again.stderr
    resumed = run(*asked, "--resume")
    assert resumed.returncode == 1
    assert "is complete, so nothing can be resumed; use --overwrite" in " ".join(resumed.stderr.split())
    nameless = run(*asked, "--overwrite", "--label-column", "")
    assert "(--label-column) is empty; give the name of the column" in nameless.stderr
    assert (out / "adapt.json").is_file()


def test_ctrl_c_says_how_to_go_on(start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*arguments: Any, **settings: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "adapt", stopped)
    done = run("adapt", "texts.txt", "--output-dir", tmp_path / "out")
    assert done.returncode == 130
    out = tmp_path / "out"
    assert done.stderr.strip() == f"stopped; to continue the run in {out}, repeat the command with --resume"


def test_prompts_of_the_start_model_are_kept_and_used(start: Path, tmp_path: Path) -> None:
    model = SimCSE(start, device="cpu")
    model.prompts.update(query="find: ", document="text: ")
    model.save(tmp_path / "prompted")
    made = adapt(TEXTS[:60], tmp_path / "prompted", tmp_path / "out", device="cpu")
    assert made.method.settings["prompts"] == ("query", "document")
    assert SimCSE(tmp_path / "out", device="cpu").prompts == model.prompts
