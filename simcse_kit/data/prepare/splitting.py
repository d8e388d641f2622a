"""Lines of a paragraph to clean sentences."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import groupby

from simcse_kit.errors import DataError

LONGEST = 1 << 16  # characters joined before sentences are split off: a file without blank lines is one paragraph
WITHOUT_SPACES = frozenset(("zh", "ja", "th", "lo", "my", "km", "bo", "yue", "wuu"))
"""Languages without spaces between words: lengths are in characters, and wrapped lines are joined without a space."""

# C0 and C1 controls except white space, soft hyphen, zero-width space, direction marks, byte-order mark. Not the
# joiners U+200C and U+200D: Persian, the Indic scripts and emoji need them.
_CONTROL = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z]+)?")
_KOREAN_NUMBER = re.compile(r"(^|\s)\d{1,4}\.$")  # of a date (2023. 5. 3.) or a list; no Korean sentence ends like this
_KOREAN_QUOTING = re.compile(r"(이?라[고며는]|하[고며])\s")


def check_language(language: str) -> None:
    """Raise `DataError` if the text is not a language code."""
    if not _LANGUAGE.fullmatch(language):
        raise DataError(f"language must be an ISO 639 code such as en, ko, de or zh; got {language!r}")


def clean(text: str) -> str:
    r"""NFC, white space collapsed and trimmed, control characters out.

    >>> clean("  cafe\u0301\x00 \u00a0 au\tlait ")
    'café au lait'
    """
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    return " ".join(_CONTROL.sub("", text).split())


def split_lines(lines: Iterable[str], language: str, *, line_paragraphs: bool = False) -> Iterator[str]:
    """Sentences of a stream of lines. "" ends a paragraph; with ``line_paragraphs`` every line does.

    >>> list(split_lines(["Dr. Smith was", "late. Were", "you?", "", "No title"], "en"))
    ['Dr. Smith was late.', 'Were you?', 'No title']
    """
    cleaned = map(clean, lines)
    if line_paragraphs:
        for line in cleaned:
            yield from _paragraph([line], language)
        return
    for full, paragraph in groupby(cleaned, key=bool):
        if full:
            yield from _paragraph(paragraph, language)


def _paragraph(lines: Iterable[str], language: str) -> Iterator[str]:
    joiner = "" if language.partition("-")[0] in WITHOUT_SPACES else " "
    waiting: list[str] = []
    size = 0
    for line in lines:
        waiting.append(line)
        size += len(line) + len(joiner)
        if size > LONGEST:
            *sentences, last = split(joiner.join(waiting), language)  # the last sentence may continue on the next line
            yield from sentences
            if len(last) > LONGEST:  # no sentence end found: stop collecting
                yield last
                last = ""
            waiting, size = [last] if last else [], len(last)
    yield from split(joiner.join(waiting), language)


def split(text: str, language: str) -> list[str]:
    """Sentences of a clean text, by sentencex (rules and abbreviations of some 300 languages, no model).

    >>> split("I met Dr. Smith. Did you?", "en")
    ['I met Dr. Smith.', 'Did you?']
    """
    import sentencex

    pieces: list[str] = sentencex.segment(language.partition("-")[0], text)
    if language.partition("-")[0] == "ko":
        pieces = _mend_korean(pieces)
    return [sentence for piece in pieces if (sentence := piece.strip())]


def _mend_korean(pieces: list[str]) -> list[str]:
    """Join what sentencex splits wrongly in Korean: dates, list numbers, and a quotation with its 라고 or 하고."""
    mended: list[str] = []
    for piece in pieces:
        if mended and _goes_on_in_korean(mended[-1], piece):
            mended[-1] += piece
        else:
            mended.append(piece)
    return mended


def _goes_on_in_korean(before: str, after: str) -> bool:
    if _KOREAN_NUMBER.search(before.rstrip()):
        return True
    if before.rstrip()[-1:] not in ('"', "'", "”", "’", "」", "』"):
        return False
    return not before[-1:].isspace() or _KOREAN_QUOTING.match(after) is not None  # a particle follows without a space
