"""The recipes of the paper's tables: the whole path on small stand-ins, and from a hub cache."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from simcse_kit.data import sample_sentences_path
from simcse_kit.evaluation import download
from simcse_kit.training.recipes import recipes as recipe_table
from support.scripts import load_script

SCRIPT = Path(__file__).parents[2] / "eval" / "reproduce" / "run.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script(SCRIPT, "reproduce_run")


def test_every_row_is_a_recipe_and_its_average_that_of_its_tasks(script: ModuleType) -> None:
    recipes = recipe_table()
    assert set(script.ROWS) == {name for name in recipes if name.endswith(("-base", "-large"))}
    for name, row in script.ROWS.items():
        assert float(recipes[name].figure) == row["average"]
        if "tasks" in row:  # the paper averages unrounded scores, to 0.01
            assert sum(row["tasks"]) / 7 == pytest.approx(row["average"], abs=0.011)


@pytest.mark.parametrize(
    ("row", "seeds"),
    [pytest.param("unsup-roberta-large", (1, 2), marks=pytest.mark.slow), ("sup-bert-base", (3,))],
)
def test_a_smoke_run_goes_the_whole_way(
    row: str, seeds: tuple[int, ...], script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = tmp_path / row / f"seed-{seeds[0]}"  # of a real run
    begun.mkdir(parents=True)
    script.main([row, "--smoke", "--work", str(tmp_path), "--seeds", ",".join(map(str, seeds))])
    printed = capsys.readouterr().out
    assert list(begun.parent.iterdir()) == [begun]
    for seed in seeds:
        result = json.loads((tmp_path / "smoke" / row / f"{row}-{seed}.json").read_text(encoding="utf-8"))
        assert result["arguments"]["recipe"] == row
        assert result["arguments"]["seed"] == seed
        assert result["difference"]["avg"] == pytest.approx(result["scores"]["avg"] - result["published"]["avg"])
        assert f"{result['scores']['avg']:.2f}" in printed
    assert printed.count("seed ") == len(seeds)
    assert "the scores mean nothing" in printed
    assert str(tmp_path / "smoke" / row / f"{row}-{seeds[-1]}.json") in printed
    assert not any(word in printed for word in ("published", "difference", "Over "))  # no comparison with the paper


def test_seeds_are_separated_by_spaces_or_commas(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert script._seeds("1,2,3") == [1, 2, 3]
    assert script._seeds("42") == [42]
    with pytest.raises(SystemExit):
        script.main(["unsup-bert-base", "--smoke", "--seeds", "1;2"])
    assert "seeds are numbers, such as 1 2 3 or 1,2,3; got '1;2'" in capsys.readouterr().err


def test_what_the_hub_has_becomes_a_row(
    script: ModuleType,
    tiny_model: Callable[[str], Path],
    hub_cache: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = tmp_path / "dataset"
    data.mkdir()
    shutil.copy(sample_sentences_path(), data / "wiki1m_for_simcse.txt")
    made = script.smoke.make_senteval(tmp_path / "made")
    with tarfile.open(data / download.ARCHIVE, "w") as archive:
        for name in ("STS", "SICK"):
            archive.add(made / name, arcname=name)
    hub_cache("princeton-nlp/datasets-for-simcse", data, "datasets")
    hub_cache("google-bert/bert-base-uncased", tiny_model("bert"))
    pairs = {task: 120 * len(names) for task, names in script.smoke.SUBSETS.items()}
    monkeypatch.setattr(download, "PAIRS", pairs | {"STSBenchmark": 120, "SICKRelatedness": 120})

    inputs = script.fetched("unsup-bert-base", tmp_path / "work")
    assert inputs.model is None
    assert inputs.train.read_text(encoding="utf-8") == sample_sentences_path().read_text(encoding="utf-8")
    result = script.reproduce("unsup-bert-base", 1, inputs, tmp_path / "run", script.SMALL)
    assert result["arguments"]["model"] == "google-bert/bert-base-uncased"
    assert result["arguments"]["train_head"] == "mlp"
    assert len(result["difference"]) == 8
    table = script.comparison([result, result])
    assert "this is outside of it" in table
    assert table.splitlines()[-2].startswith("difference")


def test_without_a_network_it_takes_a_folder(
    script: ModuleType, tiny_model: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "RESULTS", tmp_path / "results")
    with pytest.raises(SystemExit, match=r"error: cannot download the data from the hub .*: --data FOLDER"):
        script.main(["unsup-bert-base", "--work", str(tmp_path / "work")])
    data = tmp_path / "data"
    with pytest.raises(SystemExit, match=r"wiki1m_for_simcse\.txt does not exist"):
        script.main(["unsup-bert-base", "--work", str(tmp_path / "work"), "--data", str(data)])
    script.smoke.make_senteval(data / "senteval")
    shutil.copy(sample_sentences_path(), data / "wiki1m_for_simcse.txt")
    inputs = script.found("unsup-bert-base", data)
    assert (inputs.model, inputs.train.name) == (None, "wiki1m_for_simcse.txt")
    assert (
        script.reproduce(
            "unsup-bert-base", 1, inputs._replace(model=str(tiny_model("bert"))), tmp_path / "run", script.SMALL
        )["seed"]
        == 1
    )
