"""Numbers in messages."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """A number with its noun, in the plural where it is not 1.

    >>> counted(1, "row"), counted(1200, "row"), counted(2, "query"), counted(0, "class")
    ('1 row', '1,200 rows', '2 queries', '0 classes')
    """
    if count == 1:
        return f"1 {noun}"
    if noun.endswith("y"):
        return f"{count:,} {noun[:-1]}ies"
    return f"{count:,} {noun}{'es' if noun.endswith('s') else 's'}"
