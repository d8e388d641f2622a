"""Find eight or more equal lines in two files, without imports and `__all__`: python .ci/repeated_code.py

The check is pylint's `duplicate-code`. Pylint's option to ignore imports takes two minutes. This script blanks the
imports first, which takes no time.
"""

from __future__ import annotations

import ast
import io
import sys
from contextlib import redirect_stdout
from pathlib import Path

from pylint.checkers.symilar import Symilar

LINES = 8
ROOT = Path(__file__).parent.parent


def without_imports(source: str) -> str:
    """The same lines, with imports and ``__all__`` blank."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        exports = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        if exports or isinstance(node, ast.Import | ast.ImportFrom):
            lines[node.lineno - 1 : node.end_lineno] = [""] * ((node.end_lineno or node.lineno) - node.lineno + 1)
    return "\n".join(lines) + "\n"


def repeated(folder: Path) -> str:
    """Pylint's report, or \"\" if nothing is repeated."""
    found = Symilar(min_lines=LINES)
    for path in sorted(folder.rglob("*.py")):
        source = without_imports(path.read_text(encoding="utf-8"))
        found.append_stream(str(path.relative_to(folder.parent)), io.StringIO(source))
    with redirect_stdout(io.StringIO()) as report:
        found.run()
    return "" if "duplicates=0 " in report.getvalue() else report.getvalue()


if __name__ == "__main__":
    sys.exit(repeated(ROOT / "simcse_kit") or None)
