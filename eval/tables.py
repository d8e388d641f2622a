"""All figures and tables of the documents, from results/ and from the parts: python eval/tables.py

Pages hold blocks between ``<!-- NAME -->`` and ``<!-- end of NAME -->``. This script fills them in the README and the
guides, writes this folder's README, and the figures that the package shows: ``measured.json`` (`simcse-kit recipes`,
`adapt`) and ``harm.json``.
"""

from __future__ import annotations

import json
import os
import re
from functools import partial
from pathlib import Path
from typing import Any

from lib.adapt_tables import adapt_table, harm_figures, harm_line, method_figures
from lib.arguments import parser
from lib.encode_tables import corpus_line, draw_encode, encode_table
from lib.front_table import front_table
from lib.hybrid_tables import hybrid_table
from lib.lecture_tables import lecture_blocks
from lib.part_tables import part_blocks
from lib.recipe_tables import label_free_table, measured, recipe_table
from lib.results_page import results_page
from lib.scaling_tables import scaling_blocks
from lib.search_tables import search_tables
from lib.sts_table import seven_tasks
from lib.suite_tables import suite_tables
from lib.train_tables import speed_table

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "simcse_kit"
RESULTS_PAGE = ROOT / "eval" / "README.md"
PAGES = (ROOT / "README.md", *sorted((ROOT / "examples").glob("*.md")))
_BLOCK = re.compile(r"<!-- (?P<name>[\w-]+) -->\n.*?<!-- end of (?P=name) -->", re.S)


def blocks() -> dict[str, str]:
    """Name of a block to its lines; links lead from the root."""
    own = {"figures": front_table(), "adapt": adapt_table(), "harm": harm_line(), "hybrid": hybrid_table()}
    averages = {name: found["average"] for name, found in measured().items()}
    return own | part_blocks() | lecture_blocks(averages) | scaling_blocks()


def page(path: Path, texts: dict[str, str]) -> str:
    """A page with its blocks filled.

    Raises:
        KeyError: a block that has no text.
    """

    def filled(found: re.Match[str]) -> str:
        name = found["name"]
        return f"<!-- {name} -->\n{linked_from(path, texts[name])}\n<!-- end of {name} -->"

    return _BLOCK.sub(filled, path.read_text(encoding="utf-8"))


def linked_from(path: Path, text: str) -> str:
    """Text with links into ``eval/`` from the root, for a page in another folder."""
    return text.replace("](eval/", f"]({os.path.relpath(ROOT / 'eval', path.parent)}/".replace("](./", "]("))


def figures() -> str:
    """The figures of `RESULTS_PAGE`."""
    training = [*recipe_table(), *label_free_table(), *speed_table()]
    lines = [*seven_tasks(), "", *suite_tables(), *training, *encode_table(), *corpus_line(), *search_tables()]
    return "\n".join(lines)


def written() -> dict[Path, str]:
    """Each file that this script writes, with its text."""
    texts = blocks()
    numbers: dict[str, Any] = {
        "training/measured.json": measured(),
        "training/harm.json": harm_figures(),
        "workflows/measured.json": method_figures(),
    }
    dump = partial(json.dumps, indent=2)
    return (
        {path: page(path, texts) for path in PAGES}
        | {RESULTS_PAGE: linked_from(RESULTS_PAGE, results_page(figures()))}
        | {PACKAGE / name: f"{dump(values)}\n" for name, values in numbers.items()}
    )


def main() -> None:
    """Write them."""
    parser(__doc__).parse_args()
    draw_encode()
    for path, text in written().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
