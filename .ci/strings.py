"""Every piece of prose in the code, with file, line and kind: python .ci/strings.py [--kind error] [--sample 200 --seed 7]

`--dialect` lists the pieces that hold a phrase of `DIALECT` and exits with 1 if there is one. A piece may be a false
alarm: reword it, or add it to `ALLOWED`.
"""

from __future__ import annotations

import argparse
import ast
import io
import random
import re
import sys
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
FOLDERS = ("simcse_kit", "eval", "tests", ".ci")
KINDS = ("help", "error", "warning", "printed", "text", "docstring", "comment")

# What a reader from another country reads twice, and what stands there instead.
DIALECT = {
    r"\banew\b": "again",
    r"\bso many\b": "N, at most N",
    r"\b(is|are|was|were) none\b": "there is no ..., no ... is",
    r"\bnone any ?more\b": "no longer exists",
    r"\bbears?\b": "has, carries",
    r"\bin the place of\b": "instead of, at",
    r"\bto be said\b": "say what it is",
    r"\bwhoever\b": "a user who, a process that",
    r"\bby name\b(?! =)": "an error that names X",
    r"\btold (apart|by|so|from)\b": "distinguished, detected",
    r"\bas is\b(?=[ ,]*(said|told))": "as described",
    r"\bwhat is to be\b": "name it",
    r"\bis refused, saying\b": "raises an error that names the cause",
    r"\bbe it\b": "either",
    r"\bit is (this|that) which\b": "subject first",
    r"\bnot a single one\b": "no, none",
    r"\bthe like of\b": "such as",
    r"\bfor want of\b": "because there is no",
    r"\bin want of\b": "needs",
    r"\b(else|otherwise)\.$": "if not, ...",
}
ALLOWED: dict[str, str] = {}  # path: a phrase of the piece that may stay


class Piece(NamedTuple):
    """One string, docstring or block of comments."""

    path: str
    line: int
    kind: str
    text: str


def kind_of(parents: Sequence[ast.AST]) -> str:
    """What a string is for, by the calls around it, the nearest first."""
    for node in reversed(parents):
        if isinstance(node, ast.keyword) and node.arg == "help":
            return "help"
        if isinstance(node, ast.Raise):
            return "error"
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).rsplit(".", 1)[-1]
            if name.endswith(("Error", "BadParameter", "error")):
                return "error"
            if name == "setting":
                return "help"
            if name in ("say_once", "warn", "warning", "Notice", "notice"):
                return "warning"
            if name in ("print", "echo", "secho", "say", "note", "rule", "heading"):
                return "printed"
    return "text"


def words_of(node: ast.Constant | ast.JoinedStr) -> str:
    """The text of a string; ``{...}`` for each value of an f-string."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "{...}" for part in parts)


def strings(tree: ast.AST, parents: tuple[ast.AST, ...] = ()) -> Iterator[tuple[int, str, str]]:
    """Line, kind and text of each string that has two words or more."""
    for child in ast.iter_child_nodes(tree):
        inside = (*parents, tree)
        if isinstance(child, ast.JoinedStr) or (isinstance(child, ast.Constant) and isinstance(child.value, str)):
            docstring = isinstance(tree, ast.Expr)
            text = words_of(child)
            if docstring or len(re.findall(r"[A-Za-z]{2,}", text)) > 1 and " " in text:
                yield child.lineno, "docstring" if docstring else kind_of(inside), text
        else:
            yield from strings(child, inside)


def comments(source: str) -> Iterator[tuple[int, str, str]]:
    """Line and text of each comment; lines of comments that follow one another are one."""
    block: list[str] = []
    first = last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT or re.match(r"#( type:| noqa|!)", token.string):
            continue
        own = not token.line[: token.start[1]].strip()
        if block and not (own and token.start[0] == last + 1):
            yield first, "comment", " ".join(block)
            block = []
        if not block:
            first = token.start[0]
        block.append(token.string.lstrip("# "))
        last = token.start[0] if own else 0
    if block:
        yield first, "comment", " ".join(block)


def pieces(folders: Sequence[str] = FOLDERS) -> list[Piece]:
    """All prose of the code under the folders, in the order of files and lines."""
    found: list[Piece] = []
    for path in sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        source, name = path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix()
        every = [*strings(ast.parse(source)), *comments(source)]
        found += [Piece(name, line, kind, " ".join(text.split())) for line, kind, text in sorted(every)]
    for path in sorted((ROOT / "simcse_kit").rglob("*.html")):
        lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        found += [Piece(path.relative_to(ROOT).as_posix(), number, "text", line.strip()) for number, line in lines]
    return found


def dialect(piece: Piece) -> str:
    """The forbidden phrase of a piece with what to write instead; empty where it has none."""
    for pattern, instead in DIALECT.items():
        match = re.search(pattern, piece.text, re.IGNORECASE)
        if match and ALLOWED.get(piece.path, "\0") not in piece.text:
            return f"{match.group()!r} -> {instead}"
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="*", default=FOLDERS)
    parser.add_argument("--kind", choices=KINDS)
    parser.add_argument("--sample", type=int, metavar="N", help="N pieces at random instead of all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dialect", action="store_true", help="only pieces with a forbidden phrase")
    options = parser.parse_args()
    found = [piece for piece in pieces(options.folders) if options.kind in (None, piece.kind)]
    if options.dialect:
        found = [piece for piece in found if dialect(piece)]
    if options.sample is not None:
        found = random.Random(options.seed).sample(found, min(options.sample, len(found)))
    for piece in found:
        note = f"  [{dialect(piece)}]" if options.dialect else ""
        print(f"{piece.path}:{piece.line}: {piece.kind}: {piece.text}{note}")
    return int(options.dialect and bool(found))


if __name__ == "__main__":
    sys.exit(main())
