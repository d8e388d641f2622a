"""The file of a study: models and runs, seeds and suites."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simcse_kit.encoder.hub import check_model_name
from simcse_kit.encoder.settings import RECORD
from simcse_kit.errors import SimCSEKitError
from simcse_kit.evaluation.suite import name_of
from simcse_kit.parts import check_keywords
from simcse_kit.report.comparison import suites_with_data
from simcse_kit.report.kept import content_hash, short_hash
from simcse_kit.training.output import RUN_RECORD
from simcse_kit.training.run import check_arguments
from simcse_kit.training.seeds import seed_models
from simcse_kit.training.teacher_names import teacher_name, teacher_pooling

_TOP = ("output", "seeds", "suites", "data", "options", "model", "run")
_MODEL = ("name", "model", "pooling", "backend", "dtype", "device", "trust_remote_code")
_RUN = ("name", "mode", "data")  # in addition to the settings of training


@dataclass(frozen=True, kw_only=True)
class StudyModel:
    """A model that is measured without training."""

    name: str
    model: str
    options: Mapping[str, Any]  # of `SimCSE`


@dataclass(frozen=True, kw_only=True)
class StudyRun:
    """A training run, once per seed; ``folder`` holds the seeds."""

    name: str
    mode: str  # unsup or sup
    data: str
    settings: Mapping[str, Any]
    seeds: tuple[int, ...]
    folder: Path

    def ended(self, seed: int) -> bool:
        """Whether the model of a seed exists."""
        run = self.folder / f"seed-{seed}"
        return (run / RUN_RECORD).is_file() and (run / RECORD).is_file()

    @property
    def is_whole(self) -> bool:
        """Whether the models of these seeds exist, and their summary has no others."""
        return seed_models(self.folder) == [self.folder / f"seed-{seed}" for seed in self.seeds]


@dataclass(frozen=True, kw_only=True)
class Study:
    """Content of a study file; `read_study` reads and checks it."""

    output: Path
    models: tuple[StudyModel, ...]
    runs: tuple[StudyRun, ...]
    data: Mapping[str, str]  # by suite
    options: Mapping[str, Mapping[str, Any]]  # of suites
    suites: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """Names of models and runs in tables, in order of measurement."""
        return [*(one.name for one in self.models), *(one.name for one in self.runs)]

    @property
    def results(self) -> Path:
        """Folder of cached results, by content."""
        return self.output / "results"


def read_study(path: str | Path) -> Study:
    """Read and check a study file (TOML), before anything is loaded. Paths in it are relative to its folder.

    ```toml
    output = "study"            # folder of runs, results, tables and report
    seeds = [1, 2, 3]           # of the runs
    [data]                      # suite = its data
    sts = "data/senteval"
    [[model]]                   # measured as it is; options of SimCSE may follow
    model = "bert-base-uncased"
    pooling = "mean"
    [[run]]                     # trained under each seed; any setting of train_unsup or train_sup may follow
    name = "esimcse"
    mode = "unsup"
    data = "corpus.txt"
    model = "bert-base-uncased"
    objective = "esimcse"
    ```

    Raises:
        SimCSEKitError: the file is not TOML, a key is unknown (the text gives the nearest), or a value is missing or of
            the wrong type.
    """
    file = Path(path)
    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SimCSEKitError(f"{file} does not exist; a study file names models, runs and data") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SimCSEKitError(f"{file} is not valid TOML: {error}") from error
    here = file.absolute().parent
    with _named(file):
        check_keywords(raw, _TOP, "the file", SimCSEKitError)
        data = {name_of(suite): _place(here, place) for suite, place in _table(raw, "data").items()}
        if not data:
            raise SimCSEKitError('[data] names no suite; add one, such as sts = "data/senteval"')
        options = {name_of(suite): values for suite, values in _table(raw, "options").items()}
        suites = tuple(map(name_of, raw.get("suites", data)))
        suites_with_data(suites, data, options)
        output = Path(str(here / _text(raw, "output", file.stem)))
        seeds = raw.get("seeds", [1])
        if not isinstance(seeds, list) or not seeds or not all(type(seed) is int for seed in seeds):
            raise SimCSEKitError(f"seeds must be a list of numbers; got {seeds!r}")
        model_tables, run_tables = _tables(raw, "model"), _tables(raw, "run")
    models, runs = [], []
    for number, table in enumerate(model_tables, 1):
        with _named(_entry(file, "model", table.get("name", table.get("model")), number)):
            models.append(_model(here, table))
    for number, table in enumerate(run_tables, 1):
        with _named(_entry(file, "run", table.get("name"), number)):
            runs.append(_run(here, table, output, seeds))
    with _named(file):
        if not models and not runs:
            raise SimCSEKitError("there is no [[model]] and no [[run]]")
        study = Study(output=output, models=tuple(models), runs=tuple(runs), data=data, options=options, suites=suites)
        names = study.names
        if double := {name for name in names if names.count(name) > 1}:
            raise SimCSEKitError(f"each model and run needs its own name; used twice: {', '.join(sorted(double))}")
    return study


@contextmanager
def _named(where: Path | str) -> Iterator[None]:
    """Put the place in the file before an error."""
    try:
        yield
    except (SimCSEKitError, TypeError) as error:
        raise SimCSEKitError(f"{where}: {error}") from error


def _entry(file: Path, kind: str, name: Any, number: int) -> str:
    """A model or a run of the file, by its name; without one, by its number."""
    return f'{file}, {kind} "{name}"' if isinstance(name, str) and name else f"{file}, {kind} {number}"


def _model(here: Path, entry: Mapping[str, Any]) -> StudyModel:
    check_keywords(entry, _MODEL, "[[model]]", SimCSEKitError)
    model = _place(here, _text(entry, "model"))
    check_model_name(model)
    options = {name: value for name, value in entry.items() if name not in ("name", "model")}
    return StudyModel(name=_text(entry, "name", entry["model"]), model=model, options=options)


def _run(here: Path, entry: Mapping[str, Any], output: Path, seeds: Sequence[int]) -> StudyRun:
    name, mode = _text(entry, "name"), _text(entry, "mode", "unsup")
    if mode not in ("unsup", "sup"):
        raise SimCSEKitError(f"mode must be unsup or sup; got {mode!r}")
    settings = {key: value for key, value in entry.items() if key not in _RUN}
    for key in ("seed", "output_dir", "overwrite", "resume"):
        if key in settings:
            raise SimCSEKitError(f"the study sets {key}; leave it out")
    for key in ("model", "eval_data"):
        if key in settings:
            settings[key] = _place(here, _text(settings, key))
    teachers = settings.get("teacher", [])
    teachers = [_teacher(here, name) for name in (teachers if isinstance(teachers, list) else [teachers])]
    if teachers:
        settings["teacher"] = teachers
    data = _place(here, _text(entry, "data"))
    check_arguments(mode, data, settings)
    contents = {key: _content(value) for key, value in settings.items()}
    if teachers:
        contents["teacher"] = [[_content(teacher_name(one)), teacher_pooling(one)] for one in teachers]
    what = [mode, content_hash(data), contents]
    return StudyRun(
        name=name,
        mode=mode,
        data=data,
        settings=settings,
        seeds=tuple(seeds),
        folder=output / "runs" / f"{_slug(name)}-{short_hash(what)[:8]}",
    )


def _slug(name: str) -> str:
    """The name of a folder.

    >>> _slug("SimCSE (ours) / CLS")
    'simcse-ours-cls'
    """
    return re.sub(r"[^\w.]+", "-", name.lower()).strip("-.") or "run"


def _teacher(here: Path, name: Any) -> str:
    """A teacher ``NAME[:POOLING]`` whose name may be a folder."""
    given = _text({"teacher": name}, "teacher")
    place, pooling = _place(here, teacher_name(given)), teacher_pooling(given)
    return place if pooling is None else f"{place}:{pooling}"


def _content(value: Any) -> Any:
    """A setting, as far as it affects a run: for a path, its content."""
    return content_hash(value) if isinstance(value, str) and Path(value).exists() else value


def _place(here: Path, name: Any) -> str:
    """A path relative to the file's folder; if it does not exist, the name of a model or data set on the hub."""
    if not isinstance(name, str) or not name:
        raise SimCSEKitError(f"expected a path or a name; got {name!r}")
    return str(here / name) if (here / name).exists() else name


def _text(table: Mapping[str, Any], key: str, default: str | None = None) -> str:
    value = table.get(key, default)
    if not isinstance(value, str) or not value:
        raise SimCSEKitError(f"{key} is missing or not a text: {value!r}")
    return value


def _table(raw: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = raw.get(key, {})
    if not isinstance(value, dict):
        raise SimCSEKitError(f"[{key}] must be a table; got {value!r}")
    return value


def _tables(raw: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    value = raw.get(key, [])
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise SimCSEKitError(f"[[{key}]] must be a list of tables; got {value!r}")
    return value
