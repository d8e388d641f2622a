"""Charts and pages: well formed, escaped, and without a network."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np

from simcse_kit.report import Figure, Geometry, Page, geometry_path, similarity_by_gold, training_curve, write_page

PATH = [Geometry(0, 0.2, -1.5), Geometry(10, 0.3, -2.0), Geometry(20, 0.35, -2.1)]


def charts() -> list[str]:
    rng = np.random.default_rng(0)
    return [
        training_curve([(10, 0.5), (20, 0.2)], [(0, 60.0), (20, 70.0)]),
        training_curve([(10, 0.5)], []),
        geometry_path(PATH, best_step=10),
        similarity_by_gold(np.array([0.0, 2.5, 5.0]), rng.random(3), rng.random(3), top=5.0),
    ]


def test_charts_are_svg_and_equal_for_equal_data() -> None:
    first, second = charts(), charts()
    assert first == second
    for svg in first:
        assert ElementTree.fromstring(svg).tag.endswith("svg")


def test_every_pair_is_drawn_in_its_band() -> None:
    gold = np.array([0.0, 0.9, 1.0, 4.1, 5.0])
    svg = similarity_by_gold(gold, np.full(5, 0.5), np.full(5, 0.6), top=5.0)
    assert "<!-- gold 4–5" in svg
    labels = re.findall(r"<!-- (\d+) pairs -->|(\d+) pairs", svg)
    assert sum(int(a or b) for a, b in labels) == len(gold)


def test_a_page_escapes_text_and_asks_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    page = Page(
        title="<script>alert(1)</script>",
        lead="a & b",
        table_head=["x"],
        table=[["<b>"]],
        figures=[Figure(title="t", svg=charts()[2], caption="c")],
        answers={"<i>q</i>": [(0.5, "<u>hit</u>")]},
        facts={"file": "<f>.txt"},
    )
    write_page(path, page)
    html = path.read_text(encoding="utf-8")
    assert "<script" not in html
    for text in ("<b>", "<i>q", "<u>hit", "<f>.txt"):
        assert text not in html.replace("<b>&lt;i&gt;", "")
    assert "a &amp; b" in html
    addresses = set(re.findall(r'(?:src|href|url)\s*[=(]\s*["\']?([^"\')\s>]+)', html))
    assert all(address.startswith("#") for address in addresses), addresses
