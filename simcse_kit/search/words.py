"""Words of a text in any language, for keyword search."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import pairwise

VERSION = 1  # version of the rules below; an index with other rules is made again

# Scripts without spaces between words (Thai to Myanmar, Khmer, Kana, Han), and Hangul, whose words have endings
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\ua9e0-\ua9ff\uaa60-\uaa7f\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)
_INDIC = "\u0900-\u0963\u0966-\u0dff"  # `re` does not count their vowel signs as letters
_RUN = re.compile(f"(?P<unspaced>[{_UNSPACED}]+)|[^{_UNSPACED}]+")
_PART = re.compile(rf"(?:[^\W_]|[{_INDIC}])+(?:\+\+|#(?!\w))?")  # C++ and C# are words


def split_words(text: str, *, letters: bool = False) -> list[str]:
    """Words in order, without case and accents.

    A word is a run of letters and digits. If punctuation joins parts, each part is a word, and so is the whole, so that
    codes are found as written. In scripts without spaces, every two adjacent letters are a word: Korean is found with
    any particle.

    ``letters``: in these scripts every letter is a word too. Texts use this, so that a query of one letter finds them.

    Examples:
        >>> split_words("Error 0x80070057, see ABC-123!")
        ['error', '0x80070057', 'see', 'abc', '123', 'abc123']
        >>> split_words("서울에서 C++ 1.2")
        ['서울', '울에', '에서', 'c++', '1', '2', '1.2']
    """
    return [word for chunk in unicodedata.normalize("NFKC", text).split() for word in _words(chunk, letters)]


@lru_cache(1 << 16)
def _words(chunk: str, letters: bool) -> tuple[str, ...]:
    """Words of a text without spaces."""
    found: list[str] = []
    for run in _RUN.finditer(_folded(chunk)):
        if run["unspaced"]:
            own = [letter for letter in run[0] if unicodedata.category(letter)[0] in "LMN"]
            found += map("".join, pairwise(own))
            found += own if letters or len(own) == 1 else []
        else:
            parts: list[str] = _PART.findall(run[0])
            found += parts
            if len(parts) > 1:  # 1.2 is different from 12
                found.append(("." if all(map(str.isdigit, parts)) else "").join(parts))
    return tuple(found)


def _folded(chunk: str) -> str:
    """Without case and accents."""
    if chunk.isascii():
        return chunk.lower()
    letters = unicodedata.normalize("NFKD", chunk.casefold())
    return unicodedata.normalize("NFC", "".join(letter for letter in letters if not _is_accent(letter)))


def _is_accent(letter: str) -> bool:
    """Whether it is an accent or a vowel point; other marks, in Kana, Thai or Hindi, make a different letter."""
    kind = unicodedata.combining(letter)
    return 10 <= kind < 100 or kind >= 200
