"""Search by words: BM25 over live rows, whatever segments and commits they came in."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from simcse_kit import SearchIndexError
from simcse_kit.errors import DamagedIndexError
from simcse_kit.search import Collection, Hit
from simcse_kit.search.keywords import K1, B
from simcse_kit.search.postings import ROWS
from simcse_kit.search.rows import RowTable

WORDS = ["red", "green", "cat", "dog", "bird", "runs", "far", "away", "0x80070057", "ABC-123", "서울에서", "東京"]


def vectors(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)


def drawn(count: int, seed: int = 0) -> list[str]:
    """Texts of one to ten words."""
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(WORDS, random.integers(1, 10))) for _ in range(count)]


def filled(texts: list[str]) -> Collection:
    made = Collection(4, hybrid=True)
    made.add(texts, vectors(len(texts)), metadata=[{"n": i} for i in range(len(texts))])
    return made


def ranking(collection: Collection, query: str, k: int = 1000) -> list[tuple[str, float]]:
    """Texts and scores: rows have other numbers after a compaction."""
    return [(hit.text, hit.score) for hit in collection.search_words([query], k)[0]]


def test_the_score_is_bm25() -> None:
    """By hand: "cat" is in 2 of 3 texts, with 1, 3 and 2 words, 2 on average; it occurs twice in the second."""
    made = filled(["cat", "cat cat dog", "bird runs"])
    weight = math.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    expected = {
        0: weight * 1 * (K1 + 1) / (1 + K1 * (1 - B + B * 1 / 2)),
        1: weight * 2 * (K1 + 1) / (2 + K1 * (1 - B + B * 3 / 2)),
    }
    found = {hit.id: hit.score for hit in made.search_words(["cat"])[0]}
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("query", ["cat", "red cat ABC-123", "서울", "dog dog far", "東京 0x80070057 bird"])
def test_the_ranking_does_not_depend_on_how_rows_came(query: str, tmp_path: Path) -> None:
    """Many small commits, with rows deleted and replaced, equal the same texts added at once, to the last bit."""
    texts = drawn(120)
    many = Collection(4, hybrid=True)
    many.save(tmp_path / "many")
    for at in range(0, len(texts), 3):
        many.add(texts[at : at + 3], vectors(3, at))
        many.save()
        if at % 30 == 0 and at:
            many.delete([at - 1])
            many.update(["green green cat"], vectors(1, at), [at - 5])
            many.save()
    kept = [row.text for row, _ in many.rows()]
    assert many.info().segments > 1
    assert many.info().deleted
    at_once = filled(kept)
    assert ranking(many, query) == ranking(at_once, query)
    assert ranking(Collection.open(tmp_path / "many"), query) == ranking(at_once, query)
    many.compact()
    assert ranking(many, query) == ranking(at_once, query)
    many.verify()


def test_equal_scores_go_by_row_also_at_the_end() -> None:
    made = filled(["cat"] * 20)
    assert [hit.id for hit in made.search_words(["cat"], 7)[0]] == list(range(7))


def test_deleted_rows_and_filters_take_no_places() -> None:
    made = filled(["cat dog"] * 30 + ["cat"] * 5)
    made.delete(list(range(10)))
    found = made.search_words(["cat dog"], 25)[0]
    assert [hit.id for hit in found] == list(range(10, 35))
    found = made.search_words(["dog cat"], 3, {"n": {"$gte": 29}})[0]
    assert [hit.id for hit in found] == [29, 30, 31]
    assert [hit.ranks.keyword for hit in found if hit.ranks] == [1, 2, 3]


def test_many_rows_are_several_lists(tmp_path: Path) -> None:
    texts = [f"cat number{i}" for i in range(2 * ROWS + 10)]
    made = filled(texts)
    made.save(tmp_path / "i")
    for index in (made, Collection.open(tmp_path / "i")):
        assert len(index.search_words(["cat"], len(texts))[0]) == len(texts)
        (hit,) = index.search_words([f"number{2 * ROWS + 5}"])[0]
        assert hit.id == 2 * ROWS + 5


def test_rows_of_a_writer_that_was_thrown_away_are_not_found() -> None:
    made = filled(["cat"])
    writer = made.fork()
    writer.add(["dog", "dog", "dog"], vectors(3))
    made.add(["bird"], vectors(1))
    assert ranking(made, "dog") == []
    assert [text for text, _ in ranking(made, "bird cat")] == ["cat", "bird"]
    made.add(["dog"], vectors(1))
    assert [text for text, _ in ranking(made, "dog")] == ["dog"]


def test_a_snapshot_does_not_find_what_comes_later() -> None:
    made = filled(["cat"])
    before = made.now()
    made.add(["cat dog"], vectors(1))
    assert [text for text, _ in ranking(before, "cat dog")] == ["cat"]


@pytest.mark.parametrize("query", ["", "!", "zebra", '" OR 1'])
def test_a_query_without_a_known_word_finds_nothing(query: str) -> None:
    made = filled(["cat", "dog"])
    assert made.search_words([query, "cat"])[0] == []
    assert len(made.search_words([query, "cat"])[1]) == 1


def test_by_words_and_meaning_a_hit_has_both_ranks() -> None:
    made = filled(["cat", "dog", "error 0x80070057"])
    query = made.vectors_of([1])
    first, *rest = made.search_words(["0x80070057"], vectors=query)[0]
    assert isinstance(first, Hit)
    assert {hit.id for hit in [first, *rest]} == {0, 1, 2}
    ranks = {hit.id: hit.ranks for hit in [first, *rest]}
    order = [hit.id for hit in made.search(query)[0]]
    assert ranks == {id_: (order.index(id_) + 1, 1 if id_ == 2 else None) for id_ in range(3)}
    assert first.id == 2
    scores = [hit.score for hit in [first, *rest]]
    assert scores == sorted(scores, reverse=True)


def test_by_both_more_hits_go_on_where_fewer_end() -> None:
    made, query = filled(drawn(400)), vectors(1, 1)
    whole = made.search_words(["red cat 0x80070057"], 400, vectors=query)[0]
    assert sorted(hit.id for hit in whole) == list(range(400))
    for k in (1, 10, 150):
        found = made.search_words(["red cat 0x80070057"], k, vectors=query)[0]
        assert [(hit.id, hit.score) for hit in found] == [(hit.id, hit.score) for hit in whole[:k]]


def test_queries_do_not_change_each_other() -> None:
    made, queries = filled(drawn(150)), ["red cat", "far 東京", "", "0x80070057"]
    together = made.search_words(queries, 7, vectors=vectors(4, 1))
    for number, query in enumerate(queries):
        assert made.search_words([query], 7, vectors=vectors(4, 1)[number]) == [together[number]]
        assert made.search_words([query], 7)[0] == made.search_words(queries, 7)[number]


def test_a_code_counts_more_where_few_rows_hold_it() -> None:
    """A word of one row puts it first, wherever it is by meaning. A word of all rows changes nothing."""
    texts = [f"update failed, error 0x8007{i:04d}" for i in range(300)]
    made, query = filled(texts), vectors(1, 1)
    last = made.search(query, 300)[0][-1].id
    (hit,) = made.search_words([f"how do I fix error 0x8007{last:04d}?"], 1, vectors=query)[0]
    assert hit.id == last
    assert hit.ranks == (None, 1)
    common = filled(["same text, error 0x80070057"] * 200)
    found = common.search_words(["error 0x80070057"], 10, vectors=query)[0]
    assert [one.id for one in found] == [one.id for one in common.search(query, 10)[0]]


def test_without_keywords_is_an_error_that_names_the_way_on() -> None:
    made = Collection(4)
    made.add(["cat"], vectors(1))
    for more in ({}, {"vectors": vectors(1)}):
        with pytest.raises(SearchIndexError, match=r"no keywords.*--hybrid.*index compact INDEX --hybrid"):
            made.search_words(["cat"], **more)


def test_a_compaction_adds_keywords_and_takes_them_away(tmp_path: Path) -> None:
    texts = drawn(50)
    made = Collection(4)
    made.add(texts, vectors(50))
    made.save(tmp_path / "i")
    before = made.info().bytes
    made.compact(hybrid=True)
    assert made.info().keywords
    assert Collection.open(tmp_path / "i").info().keywords
    assert ranking(made, "cat dog") == ranking(filled(texts), "cat dog")
    made.add(["cat dog"], vectors(1))
    made.save()
    made.compact()
    assert ranking(made, "cat dog") == ranking(filled([*texts, "cat dog"]), "cat dog")
    made.compact(hybrid=False)
    assert not Collection.open(tmp_path / "i").info().keywords
    made.verify()
    assert made.info().bytes < 2 * before


def test_a_copy_is_searched_by_words_too(tmp_path: Path) -> None:
    made = filled(drawn(30))
    made.save(tmp_path / "one")
    expected = ranking(made, "cat")
    made.save(tmp_path / "two")
    assert ranking(Collection.open(tmp_path / "two"), "cat") == expected


def test_search_by_meaning_is_the_same_to_the_last_bit(tmp_path: Path) -> None:
    texts, plain = drawn(200), Collection(4)
    plain.add(texts, vectors(200), metadata=[{"n": i} for i in range(200)])
    hybrid = filled(texts)
    for made, name in ((plain, "plain"), (hybrid, "hybrid")):
        made.save(tmp_path / name)
    assert hybrid.search(vectors(20, 1), 30) == plain.search(vectors(20, 1), 30)
    assert hybrid.search(vectors(1))[0][0].to_dict().keys() == {"id", "text", "score", "metadata"}


def test_words_of_other_rules_are_not_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = filled(["cat"])
    made.save(tmp_path / "i")
    monkeypatch.setattr("simcse_kit.search.hybrid.VERSION", 2)
    index = Collection.open(tmp_path / "i")
    with pytest.raises(SearchIndexError, match=r"another version.*index compact INDEX --hybrid"):
        index.search_words(["cat"])
    index.compact(hybrid=True)
    assert ranking(index, "cat")


@pytest.mark.parametrize(
    "damage",
    [
        lambda connection: connection.execute("DELETE FROM lengths").fetchall(),
        lambda connection: connection.execute("UPDATE lengths SET lengths = x'01000000'").fetchall(),
    ],
)
def test_verify_finds_rows_without_words(damage: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index_words = RowTable.index_words

    def damaged(table: RowTable) -> None:
        index_words(table)
        with table._connection() as connection:
            damage(connection)

    monkeypatch.setattr(RowTable, "index_words", damaged)
    made = filled(["cat", "dog"])
    made.save(tmp_path / "i")
    with pytest.raises(DamagedIndexError, match="other rows"):
        made.verify()


def test_an_older_manifest_says_nothing_of_keywords(tmp_path: Path) -> None:
    from simcse_kit.search.store import own_checksum

    made = Collection(4)
    made.add(["cat"], vectors(1))
    made.save(tmp_path / "i")
    path = tmp_path / "i" / "manifest.json"
    values = json.loads(path.read_text())
    del values["keywords"]
    path.write_text(json.dumps(values | {"checksum": own_checksum(values)}))
    index = Collection.open(tmp_path / "i")
    assert index.keywords is None
    index.compact(hybrid=True)
    assert ranking(index, "cat")
