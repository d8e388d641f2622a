"""Words that distinguish classes of texts: class-based TF-IDF."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence

_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"  # kana and Han, written without spaces
_WORDS = re.compile(rf"[{_UNSPACED}]+|[^\W{_UNSPACED}]{{2,}}")

_TYPICAL = 2  # a keyword is at least this many times as frequent in its class as in the others


def readable_words(text: str) -> Iterator[str]:
    """The readable words of a text in lower case, with at least two letters or digits.

    In Japanese and Chinese, which have no spaces, every two adjacent characters.

    >>> list(readable_words("A card's PIN: 0x80070057"))
    ['card', 'pin', '0x80070057']
    >>> list(readable_words("東京都"))
    ['東京', '京都']
    """
    for word in _WORDS.findall(text.lower()):
        if len(word) > 2 and re.match(rf"[{_UNSPACED}]", word):
            yield from (word[at : at + 2] for at in range(len(word) - 1))
        else:
            yield word


def class_tf_idf(counts: Sequence[Counter[str]]) -> list[dict[str, float]]:
    """Class-based TF-IDF (Grootendorst, 2022: BERTopic) of the words of each class, from counts by class.

    ``tf(t, c) * log(1 + A / tf(t))``: frequency of a word in the class and in all classes; A is the mean number of
    words per class.
    """
    everywhere = _sum(counts)
    mean = everywhere.total() / max(len(counts), 1)
    rarity = {word: math.log(1 + mean / count) for word, count in everywhere.items()}
    return [{word: count * rarity[word] for word, count in one.items()} for one in counts]


def class_keywords(counts: Sequence[Counter[str]], top: int) -> list[list[str]]:
    """For each class at most ``top`` words with the highest class-based TF-IDF, highest first.

    Leaves out words whose share in the class is not at least twice their share in the others: with few classes, the
    weight alone would keep words like "the" and "is" in any language. Equal weights are in alphabetical order.

    >>> class_keywords([Counter(the=5, cat=3, dog=1), Counter(the=4, dog=4)], top=2)
    [['cat'], ['dog']]
    """
    everywhere = _sum(counts)
    total = everywhere.total()
    found = []
    for one, weights in zip(counts, class_tf_idf(counts), strict=True):
        own, others = one.total(), total - one.total()
        typical = [word for word, count in one.items() if count * others >= _TYPICAL * (everywhere[word] - count) * own]
        ranked = sorted((-weights[word], word) for word in typical)
        found.append([word for _, word in ranked[:top]])
    return found


def _sum(counts: Sequence[Counter[str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return total
