"""Charts and pages: well formed, escaped, and without a network."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np

from simcse_kit.report import (
    Curve,
    Figure,
    GeometryPath,
    GeometryPoint,
    GeometryStep,
    Page,
    Picture,
    Section,
    Table,
    geometry_plane,
    page_markdown,
    similarity_against_gold,
    similarity_by_gold,
    training_curves,
    variance_spectrum,
    write_page,
)
from simcse_kit.report.charts import gold_bands

PATH = [GeometryStep(0, 0.2, -1.5), GeometryStep(10, 0.3, -2.0), GeometryStep(20, 0.35, -2.1)]


def charts() -> list[Picture]:
    rng = np.random.default_rng(0)
    first, second = rng.random(40), rng.random(40) * 5
    path = GeometryPath("run", PATH, 10)
    other = GeometryPath("other", PATH[:2], 0)
    return [
        training_curves([Curve("run", [(10, 0.5), (20, 0.2)], [(0, 60.0), (20, 70.0)])]),
        training_curves([Curve("run", [(10, 0.5)], [])]),
        training_curves([Curve("run", [(10, 0.5)], [(10, 60.0)]), Curve("other", [], [(10, 61.0)])]),
        geometry_plane([path]),
        geometry_plane([path, other], [GeometryPoint("model", 0.1, -3.0)], [GeometryPoint("published", 0.2, -2.0)]),
        similarity_by_gold(np.array([0.0, 2.5, 5.0]), rng.random(3), rng.random(3), top=5.0),
        similarity_against_gold(second, first, top=5.0),
        variance_spectrum({"run": [(1, 0.5), (10, 1.0)], "other": [(1, 0.1), (10, 0.9)]}),
    ]


def test_charts_are_svg_and_equal_for_equal_data() -> None:
    first, second = ([picture.svg() for picture in charts()] for _ in range(2))
    assert first == second
    for svg in first:
        assert ElementTree.fromstring(svg).tag.endswith("svg")


def test_a_negative_loss_is_inside_its_chart() -> None:
    for losses in ([(10, 0.5), (20, -3.0)], [(10, -0.5), (20, -3.0)]):
        axes = training_curves([Curve("run", losses, [])]).axes()[0, 0]
        bottom, top = axes.get_ylim()
        assert bottom <= -3.0 < losses[0][1] <= top
    assert training_curves([Curve("run", [(10, 0.5), (20, 0.2)], [])]).axes()[0, 0].get_ylim()[0] == 0


def test_every_pair_is_drawn_in_its_band() -> None:
    gold = np.array([0.0, 0.9, 1.0, 4.1, 5.0])
    svg = similarity_by_gold(gold, np.full(5, 0.5), np.full(5, 0.6), top=5.0).svg()
    assert "<!-- gold 4–5" in svg
    labels = re.findall(r"<!-- (\d+) pairs? -->|(\d+) pairs?", svg)
    assert sum(int(a or b) for a, b in labels) == len(gold)


def test_a_gold_score_is_in_one_band_and_the_top_in_the_last() -> None:
    assert gold_bands(np.array([0.0, 0.99, 1.0, 4.0, 5.0]), 5.0).tolist() == [0, 0, 1, 4, 4]


def hexagons(svg: str) -> int:
    (group,) = (part for part in ElementTree.fromstring(svg).iter() if part.get("id") == "PolyCollection_1")
    return max(sum(part.tag.endswith(kind) for part in group.iter()) for kind in ("}use", "}path"))


def test_pairs_that_lie_apart_are_in_hexagons_of_their_own() -> None:
    gold, cosines = np.array([0.5, 2.5, 4.5]), np.array([0.1, 0.5, 0.9])
    for count in (1, 2, 3):
        svg = similarity_against_gold(np.repeat(gold[:count], 4), np.repeat(cosines[:count], 4), top=5.0).svg()
        assert hexagons(svg) == count


def page() -> Page:
    return Page(
        title="<script>alert(1)</script>",
        lead="a & b",
        sections=[
            Section(tables=[Table(head=["x", "y"], rows=[["<b>", "1\n2"]], caption="c | d")]),
            Section(title="charts", figures=[Figure(title="t", picture=charts()[2], caption="c")]),
            Section(title="empty of text", answers={"<i>q</i>": [(0.5, "<u>hit</u>")]}),
            Section(title="facts", notes=["*stars*"], facts={"file": "<f>.txt"}),
        ],
    )


def test_a_page_escapes_text_and_asks_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_page(path, page())
    html = path.read_text(encoding="utf-8")
    assert "<script" not in html
    for text in ("<b>", "<i>q", "<u>hit", "<f>.txt"):
        assert text not in html.replace("<b>&lt;i&gt;", "")
    assert "a &amp; b" in html
    addresses = set(re.findall(r'(?:src|href|url)\s*[=(]\s*["\']?([^"\')\s>]+)', html))
    assert all(address.startswith("#") for address in addresses), addresses


def test_a_page_as_markdown_means_what_it_says() -> None:
    text = page_markdown(page())
    assert text.startswith("# \\<script>alert(1)\\</script>\n\na & b\n")
    assert "**c \\| d**\n\n| x | y |\n| :-- | --: |\n| \\<b> | 1<br>2 |\n" in text
    assert "## charts" not in text  # nothing is left of it
    assert "- 0.50 \\<u>hit" in text
    assert "- \\*stars\\*\n" in text
