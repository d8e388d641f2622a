"""The version and its date are the same in all files that name them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import simcse_kit

ROOT = Path(__file__).parents[2]


def test_every_file_names_the_same_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    cited = re.search(r'^version: (\S+)\ndate-released: "(\S+)"$', citation, re.M)
    released = re.search(r"^## (\d\S*) - (\S+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert cited is not None
    assert released is not None
    assert cited.groups() == released.groups()
    assert f"version = {{{released[1]}}}" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert project["version"] == simcse_kit.__version__ == released[1]
