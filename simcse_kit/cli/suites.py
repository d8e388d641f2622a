"""What the commands that measure take: models, suites and their data."""

from __future__ import annotations

from typing import Annotated

import typer

Models = Annotated[
    list[str],
    typer.Argument(
        help="Folders or hub names, of any encoder; module:function, from a list of sentences to an array; a "
        "folder of train --seeds, which is one recipe under several seeds.",
        metavar="MODEL...",
    ),
]
SuiteData = Annotated[
    list[str],
    typer.Option(
        help="sts and transfer: the folder that holds senteval/ (or is it); korsts: that holds korsts/; klue-sts: "
        "hf:klue/klue#sts:validation or a folder of it; pairs: a file or data set of scored pairs (sentence1, "
        "sentence2, score); retrieval: a folder in BEIR's layout; mteb: names of its tasks, with commas, or of a "
        "benchmark; geometry: as sts or as pairs. SUITE=PATH for one suite alone.",
        metavar="[SUITE=]PATH",
    ),
]
Suites = Annotated[
    str | None,
    typer.Option(help="sts, korsts, klue-sts, pairs, transfer, retrieval, mteb, geometry; or several. Default: sts."),
]
Endpoint = Annotated[
    str | None,
    typer.Option(
        help="An OpenAI-compatible server (https://host/v1): each MODEL that is no folder is asked for there; the "
        "key is OPENAI_API_KEY.",
        metavar="URL",
    ),
]
BARS = {name: {"show_progress_bar": True} for name in ("transfer", "mteb")}  # of suites that take long after encoding


def suites_of(text: str | None) -> list[str]:
    """``a,b`` as a list of suites that exist."""
    from simcse_kit.errors import SimCSEKitError
    from simcse_kit.evaluation import SUITES

    suites = [name.strip() for name in (text or "sts").split(",")]
    for name in suites:
        if name not in SUITES:
            raise SimCSEKitError(f"--suite must be of {', '.join(SUITES)}; got {name!r}")
    return suites


def suite_data(data: list[str], suites: list[str]) -> dict[str, str]:
    """Where the data of each suite lies."""
    from simcse_kit.errors import SimCSEKitError
    from simcse_kit.evaluation import SUITES

    own = [(value.partition("=")[0], value.partition("=")[2]) for value in data if value.partition("=")[0] in SUITES]
    general = [value for value in data if value.partition("=")[0] not in SUITES]
    if len(general) > 1:
        raise SimCSEKitError(f"--data: one path for all suites, and SUITE=PATH for others; got {', '.join(general)}")
    named = dict(own)
    for name in suites:
        if name not in named and not general:
            raise SimCSEKitError(f"--data: the suite {name} needs {SUITES[name].data}; --data {name}=PATH")
    return {name: named[name] if name in named else general[0] for name in suites}
