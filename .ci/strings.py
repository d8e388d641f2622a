"""Lists the prose in the code with file, line and kind: python .ci/strings.py [--kind error] [--sample 200 --seed 7]

`--dialect` lists the pieces with a phrase of `DIALECT`, and exits with 1 if there are any. Reword a false alarm, or add
it to `ALLOWED`. Strings of tests are data; only their docstrings and comments are checked.
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

# What a reader from another country reads twice, and what to write instead.
DIALECT = {
    r"\banew\b": "again",
    r"\bso many\b": "N, this many",
    r"(?<!there )(?<!all )\b(is|are|was|were) none\b(?! of)": "there is no ..., is not a ...",
    r"(?<!there )(?<!There )\bis no (file|folder|model|index|number|text|list|JSON|TOML)\b": "is not a ...",
    r"\b(none|no \w+) any ?more\b": "no longer",
    r"\bwhat is no\b": "what is not a ...",
    r"\bbears?\b": "has, carries",
    r"\bin the place of\b": "instead of",
    r"\bwhoever\b": "a user who, any process that",
    r"\b(somebody|nobody|everybody) else\b": "another process, another user",
    r"\berrors? by name\b": "an error that names it",
    r"\btold (apart|so|from)\b": "distinguished, detected",
    r"\b(said|saying) so\b": "with a notice, that names",
    r"\bas asked for\b": "as requested",
    r"\bgo(es)? on with\b": "continues",
    r"\bgoes on where\b": "resumes",
    r"\bones? own\b": "your own",
    r"\bone\'s own\b": "your own",
    r"\bfor want of\b": "because there is no",
    r"(?<!, )\bhowever (few|many|much)\b": "any number of",
    r"\bnot a whole\b": "not complete",
    r"\bmend\b": "fix, correct",
    r"\bwhat (one|comes|goes) (asks|asked)\b": "name it",
    r"\bbeginnings? of\b": "start of",
    r"\bbe it\b": "either",
    r"\blikewise\b": "the same",
    r"\bhears?\b": "receives",
    r"\bis said once\b": "gives one notice",
    r"\band (it|that) is said\b": "with a notice",
    r"\bof (a|the|its|one\'s) own kind\b": "another kind",
    r"\bno end\b(?! token)": "no limit",
    r"\bthe like\b": "similar ones",
}
ALLOWED: dict[str, str] = {}  # path: a phrase of the piece that may stay


class Piece(NamedTuple):
    """One string, docstring or block of comments."""

    path: str
    line: int
    kind: str
    text: str


def kind_of(parents: Sequence[ast.AST]) -> str:
    """The use of a string, from the nearest call around it."""
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
            if docstring or (" " in text and len(re.findall(r"[A-Za-z]{2,}", text)) > 1):
                yield child.lineno, "docstring" if docstring else kind_of(inside), text
        else:
            yield from strings(child, inside)


def comments(source: str) -> Iterator[tuple[int, str, str]]:
    """Line and text of each comment; adjacent comment lines are one."""
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


def shown(line: str) -> Iterator[tuple[str, str]]:
    """Kind and text of the visible part of a page's line, and of its comment."""
    for match in re.finditer(r"/\*\*? (.+?) \*/|(?<!:)// (.+)$", line):
        yield "comment", match[1] or match[2]
    for match in re.finditer(
        r">([^<>{}=;]+)<|(?:placeholder|aria-label|title)=\"([^\"]+)\"|[\"`]([A-Z][^\"`]* [^\"`]*)[\"`]", line
    ):
        yield "text", (match[1] or match[2] or match[3]).strip()


def pieces(folders: Sequence[str] = FOLDERS) -> list[Piece]:
    """All prose in the code under the folders, in the order of files and lines."""
    found: list[Piece] = []
    for path in sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        source, name = path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix()
        every = [*strings(ast.parse(source)), *comments(source)]
        found += [Piece(name, line, kind, " ".join(text.split())) for line, kind, text in sorted(every)]
    for path in sorted(path for folder in folders for path in (ROOT / folder).rglob("*.html")):
        lines, name = path.read_text(encoding="utf-8").splitlines(), path.relative_to(ROOT).as_posix()
        found += [Piece(name, number, kind, text) for number, line in enumerate(lines, 1) for kind, text in shown(line)]
    return found


def dialect(piece: Piece) -> str:
    """The forbidden phrase of a piece with what to write instead; empty if there is no such phrase."""
    if piece.path.startswith("tests/") and piece.kind not in ("docstring", "comment"):
        return ""
    for pattern, instead in DIALECT.items():
        match = re.search(pattern, piece.text)
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
