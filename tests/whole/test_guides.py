"""The README and the guides: short, linked, and all that they show runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from simcse_kit import SimCSE
from support.given import give
from support.guides import blocks, commands, run_page, stand_ins, unknown_options
from support.tiny import make_cross_encoder

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
GUIDES = sorted((ROOT / "examples").glob("*.md"))
PAGES = [README, *GUIDES, ROOT / "eval" / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
RAW = (  # hub names used in guides: raw encoders
    "google-bert/bert-base-uncased",
    "princeton-nlp/sup-simcse-bert-base-uncased",
)
ENCODERS = ("sentence-transformers/all-mpnet-base-v2", "all-mpnet-base-v2")  # and sentence encoders
CROSS_ENCODERS = ("cross-encoder/ms-marco-MiniLM-L6-v2",)


@pytest.mark.slow
@pytest.mark.parametrize("page", [README, *GUIDES], ids=lambda page: page.stem)
def test_all_that_a_page_shows_runs(
    page: Path,
    tmp_path: Path,
    minilm: SimCSE,
    tiny_model: Callable[[str], Path],
    model_folder: Path,
    hub_cache: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in RAW:
        hub_cache(name, tiny_model("bert"))
    for name in ENCODERS:
        hub_cache(name, model_folder)
    for name in CROSS_ENCODERS:
        hub_cache(name, make_cross_encoder("bert", tmp_path / "cross-encoder"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    folder = tmp_path / "here"
    folder.mkdir()
    for name, rows in stand_ins(page).items():
        give(name, folder, rows, model_folder)
    run_page(page, folder)


@pytest.mark.parametrize("page", [README, *GUIDES], ids=lambda page: page.stem)
def test_commands_of_a_page_exist(page: Path) -> None:
    lines = [line for block in blocks(page) if block.language == "bash" for line in commands(block.text)]
    assert [(line, wrong) for line in lines if (wrong := unknown_options(line))] == []
    for block in blocks(page):
        if block.language == "python" and not block.runs and not block.text.startswith(">>> "):
            compile(block.text, str(page), "exec")
        assert re.fullmatch(r"|output|server|not run: \w.{9,}|(?!not run|output|server).*", block.note), (
            f"{page.name}:{block.line}"
        )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        assert place.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in _anchors(place), f"{page.name}: {target}"


def _anchors(page: Path) -> set[str]:
    """Of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
