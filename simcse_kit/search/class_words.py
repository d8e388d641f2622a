"""Words that distinguish classes of texts: class-based TF-IDF."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice

_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"  # kana and Han, written without spaces
_SHORTENED = rf"[^\W{_UNSPACED}]+['’][^\W\d_{_UNSPACED}]{{1,2}}(?!\w)"  # didn't, we've, card's
_WORDS = re.compile(rf"[{_UNSPACED}]+|{_SHORTENED}|[^\W{_UNSPACED}]{{2,}}")

_TYPICAL = 2  # a keyword is at least this many times as frequent in its class as in the others
_COMMON = 1 / 4  # a word with this part of its share in most other classes is a common word, such as "how"
_SEVERAL = 4  # with fewer classes, "most others" says nothing


def readable_words(text: str) -> Iterator[str]:
    """The readable words of a text in lower case, with at least two letters or digits.

    A short ending after an apostrophe belongs to its word; 's is left out. In Japanese and Chinese, which have no
    spaces, every two adjacent characters are a word.

    >>> list(readable_words("A card's PIN: 0x80070057"))
    ['card', 'pin', '0x80070057']
    >>> list(readable_words("It didn't"))
    ['it', "didn't"]
    >>> list(readable_words("東京都"))
    ['東京', '京都']
    """
    for word in _WORDS.findall(text.lower()):
        if re.match(rf"[{_UNSPACED}]", word):
            yield from (word[at : at + 2] for at in range(max(1, len(word) - 1)))
        elif len(word := word.replace("’", "'").removesuffix("'s")) > 1:
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
    weight alone would keep words like "the" and "is" in any language. With four classes or more, also leaves out words
    that have at least a quarter of this share in most of the others. Equal weights are in alphabetical order.

    >>> class_keywords([Counter(the=5, cat=3, dog=1), Counter(the=4, dog=4)], top=2)
    [['cat'], ['dog']]
    """
    everywhere = _sum(counts)
    total = everywhere.total()
    found = []
    for one, weights in zip(counts, class_tf_idf(counts), strict=True):
        own, others = one.total(), total - one.total()
        typical = [word for word, count in one.items() if count * others >= _TYPICAL * (everywhere[word] - count) * own]
        ranked = (word for _, word in sorted((-weights[word], word) for word in typical))
        found.append(list(islice((word for word in ranked if not _is_common(word, one, counts)), top)))
    return found


def _is_common(word: str, own: Counter[str], counts: Sequence[Counter[str]]) -> bool:
    """Whether most other classes have the word about as often as its own."""
    least = _COMMON * own[word] / own.total()
    often = sum(one is not own and one[word] > 0 and one[word] >= least * one.total() for one in counts)
    return len(counts) >= _SEVERAL and 2 * often > len(counts) - 1


def _sum(counts: Sequence[Counter[str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return total
