"""Class-based TF-IDF: the weights by hand, and which words are keywords."""

from __future__ import annotations

from collections import Counter
from math import log

import pytest

from simcse_kit.search.class_words import class_keywords, class_tf_idf, readable_words


def test_weights_are_those_of_the_formula() -> None:
    """Three words and four: A = 3.5. "cat" is there twice, "dog" twice, "bird" three times, in all."""
    first, second = class_tf_idf([Counter(["cat", "cat", "dog"]), Counter(["dog", "bird", "bird", "bird"])])
    assert first == pytest.approx({"cat": 2 * log(1 + 3.5 / 2), "dog": 1 * log(1 + 3.5 / 2)})
    assert second == pytest.approx({"dog": 1 * log(1 + 3.5 / 2), "bird": 3 * log(1 + 3.5 / 3)})


def test_weights_are_those_of_bertopic() -> None:
    """Its transformer divides by the length of a class, which keeps the order within the class."""
    counts = [Counter(a=5, b=1, c=2), Counter(a=1, b=7), Counter(c=3, d=1, b=1)]
    words, lengths = ["a", "b", "c", "d"], [8, 8, 5]
    total = {word: sum(one[word] for one in counts) for word in words}
    for one, length, weights in zip(counts, lengths, class_tf_idf(counts), strict=True):
        theirs = {word: one[word] / length * log(1 + 7 / total[word]) for word in one}
        assert sorted(weights, key=weights.__getitem__) == sorted(theirs, key=theirs.__getitem__)
        assert {word: weight / length for word, weight in weights.items()} == pytest.approx(theirs)


def test_words_of_all_classes_are_no_keywords() -> None:
    """ "the" is half of each class; "pin" is 2 of 8 words here and 1 of 8 there, exactly twice."""
    counts = [Counter(the=4, pin=2, card=2), Counter(the=4, pin=1, loan=3)]
    assert class_keywords(counts, 5) == [["card", "pin"], ["loan"]]
    assert class_keywords(counts, 1) == [["card"], ["loan"]]


def test_one_class_and_empty_ones() -> None:
    assert class_keywords([Counter(a=1, b=2)], 5) == [["b", "a"]]
    assert class_keywords([Counter(), Counter(a=1)], 5) == [[], ["a"]]
    assert class_keywords([], 5) == []


def test_words() -> None:
    assert list(readable_words("I can't log in: ERROR 0x80070057, naïve Größe!")) == [
        "can't", "log", "in", "error", "0x80070057", "naïve", "größe"
    ]  # fmt: skip
    assert list(readable_words("서울 카드를 분실")) == ["서울", "카드를", "분실"]
    assert list(readable_words("カード紛失 ok")) == ["カー", "ード", "ド紛", "紛失", "ok"]
    assert list(readable_words("猫 a 1 _")) == ["猫"]


def test_no_word_is_cut_at_an_apostrophe() -> None:
    assert list(readable_words("I didn’t, we've; it's the bank's 'new' card's PIN, l'argent")) == [
        "didn't", "we've", "it", "the", "bank", "new", "card", "pin", "argent"
    ]  # fmt: skip


def test_function_words_of_most_classes_are_no_keywords() -> None:
    """ "how" is three times as frequent in the first class as in the others; "card" is as well, but only in one."""
    counts = [
        Counter(readable_words(text))
        for text in (
            "how do I, how did it, how can the card, card, card; I didn't, didn't, didn't",
            "how is the train late, seat and coach, I didn't sit, train",
            "how is the soup cold, waiter and table, I didn't eat, soup",
            "how is the lamp dark, street and road, card, I didn't see, lamp",
        )
    ]
    found = class_keywords(counts, 3)
    assert found[0][0] == "card"
    assert not {"how", "didn't", "didn", "is", "the", "and"} & {word for words in found for word in words}
    assert [words[0] for words in found] == ["card", "train", "soup", "lamp"]
