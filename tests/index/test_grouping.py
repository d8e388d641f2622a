"""The best hit of each group: by hand, and on an index equal to going through all hits."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from simcse_kit import Notice, SearchIndexError, SentenceIndex, SimCSE
from simcse_kit.index.grouping import best_of_groups, first_of_each
from simcse_kit.search import Hit
from support.stores import Store
from support.tiny import SENTENCES


def hit(id: int, document: object) -> Hit:
    return Hit(id, f"text {id}", 1 - id / 1000, {"document": document})


class Ranking:
    """A search that finds the rows of given documents in this order, and records its calls."""

    def __init__(self, *documents: list[object]) -> None:
        self.hits = [[hit(place, document) for place, document in enumerate(one)] for one in documents]
        self.asked: list[tuple[list[int], int]] = []

    def __call__(self, numbers: Sequence[int], count: int) -> list[list[Hit]]:
        self.asked.append((list(numbers), count))
        return [self.hits[number][:count] for number in numbers]


def test_more_hits_are_searched_for_until_there_are_enough_groups() -> None:
    search = Ranking(["a"] * 90 + ["b"] * 9 + ["c"])
    (found,) = best_of_groups(search, 1, 3, "document", 100)
    assert [one.id for one in found] == [0, 90, 99]
    assert search.asked == [([0], 20), ([0], 80), ([0], 100)]


def test_only_queries_that_lack_groups_are_searched_again() -> None:
    search = Ranking(["a", "b", "c"] * 40, ["a"] * 119 + ["b"])
    found = best_of_groups(search, 2, 2, "document", 120)
    assert [[one.id for one in hits] for hits in found] == [[0, 1], [0, 119]]
    assert search.asked == [([0, 1], 20), ([1], 80), ([1], 120)]


def test_fewer_groups_than_hits_that_are_wanted_end_the_search() -> None:
    search = Ranking(["a"] * 50)
    assert [len(hits) for hits in best_of_groups(search, 1, 5, "document", 1000)] == [1]
    assert search.asked == [([0], 20), ([0], 80)]  # 50 of 80 came: there are no more
    assert best_of_groups(Ranking([]), 1, 5, "document", 0) == [[]]


def test_what_an_index_cannot_find_is_said() -> None:
    search = Ranking(["a"] * 100)
    with pytest.warns(Notice, match="1 of 1 queries, the 50 nearest rows have fewer than 2 values of document"):
        assert len(best_of_groups(search, 1, 2, "document", 100, most=50)[0]) == 1
    assert search.asked[-1] == ([0], 50)


def test_which_values_are_equal() -> None:
    values = [1, 1.0, True, "1", None, None, {"a": 1}, {"a": 1}, [1], [2], 1]
    kept = first_of_each([hit(place, value) for place, value in enumerate(values)], "document")
    assert [one.id for one in kept] == [0, 2, 3, 4, 5, 6, 8, 9]
    assert first_of_each([Hit(7, "t", 0.5), Hit(8, "t", 0.5)], "document") == [Hit(7, "t", 0.5), Hit(8, "t", 0.5)]


@pytest.mark.parametrize("k", [1, 4, 15, 40])
def test_an_index_gives_the_first_of_each_group_of_all_hits(model: SimCSE, store: Store, k: int) -> None:
    metadata = [{"n": n, "from": {"document": f"d{n % 2}"}} if n % 3 else {"n": n} for n in range(len(SENTENCES))]
    made = SentenceIndex.build(model, SENTENCES, metadata=metadata, folder=store.place("i"), **store.options)
    made.save()
    queries = ["Where is the guitar?", SENTENCES[5]]
    found = made.search(queries, k, group_by="from.document", filter={"n": {"$lt": 30}})
    every = made.search(queries, len(SENTENCES), filter={"n": {"$lt": 30}})
    assert found == [first_of_each(hits, "from.document")[:k] for hits in every]
    assert made.search(queries[0], k, group_by="from.document", filter={"n": {"$lt": 30}}) == found[0]


def test_a_field_that_no_sentence_has_is_an_error(model: SimCSE) -> None:
    made = SentenceIndex.build(model, SENTENCES[:3], metadata=[{"lang": "en"}, None, None])
    with pytest.raises(SearchIndexError, match=r"group_by is 'docment', .* its fields are: lang \(text\)"):
        made.search("x", group_by="docment")
    with pytest.raises(SearchIndexError, match="k must be an integer of at least 1"):
        made.search("x", 0, group_by="lang")
    assert SentenceIndex.build(model, []).search("x", group_by="lang") == []
