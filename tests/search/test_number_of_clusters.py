"""The number of clusters without labels: finds planted clusters, at a bounded cost, and explains its choice."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from simcse_kit import SearchIndexError
from simcse_kit.search import cluster_rows, number_of_clusters
from simcse_kit.search.number_of_clusters import choose_number, spherical_kmeans
from support.stores import Store


def blobs(count: int, each: int, dimension: int = 32) -> np.ndarray:
    """Unit vectors around centres at right angles."""
    draw = np.random.default_rng(count)
    vectors = np.repeat(np.eye(dimension)[:count], each, axis=0) + 0.1 * draw.normal(size=(count * each, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("count", [2, 3, 4, 8, 16])
def test_clusters_that_are_there_are_counted(count: int) -> None:
    choice = choose_number(blobs(count, 30))
    assert choice.n_clusters == count
    assert [number for number, _ in choice.tried[:6]] == [2, 3, 4, 6, 8, 11]
    assert dict(choice.tried)[count] == max(mean for _, mean in choice.tried)
    assert f"{count} clusters: the smallest of {len(choice.tried)} numbers, from 2 to " in str(choice)


def test_silhouettes_are_those_of_all_cosine_distances() -> None:
    vectors = blobs(5, 20)
    for number, mean in choose_number(vectors, seed=3).tried:
        labels = spherical_kmeans(vectors, number, niter=15, seed=3).labels
        assert mean == pytest.approx(silhouette_score(vectors, labels, metric="cosine"), abs=1e-4)


def test_no_more_than_a_sample_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(number_of_clusters, "_FITTED", 200)
    monkeypatch.setattr(number_of_clusters, "_COMPARED", 100)
    choice = choose_number(blobs(4, 300))
    assert (choice.n_clusters, choice.fitted, choice.compared) == (4, 200, 100)
    assert choice.tried[-1][0] <= 50


@pytest.mark.parametrize("vectors", [blobs(1, 5), np.tile(blobs(1, 1), (100, 1))], ids=["five", "one text"])
def test_rows_that_are_few_or_alike_are_one_cluster(vectors: np.ndarray) -> None:
    choice = choose_number(vectors)
    assert (choice.n_clusters, choice.tried) == (1, [])
    assert str(choice) == f"1 cluster: {len(vectors)} sentences are too few, or too similar, to compare other numbers"


def test_rows_are_clustered_by_the_number_that_was_chosen(store: Store) -> None:
    words = ["card", "loan", "fee", "pin"]
    collection = store.new(32, "flat")
    metadata = [{"kind": {"name": words[n // 25] if n % 5 else "other"}} if n else None for n in range(100)]
    collection.add([f"the {words[n // 25]} is mine" for n in range(100)], blobs(4, 25), metadata=metadata)
    collection.save(store.place())
    found = cluster_rows(collection, "auto", examples=1)
    assert (len(found.clusters), found.choice is not None) == (4, True)
    assert sorted(one.keywords[0] for one in found.clusters) == sorted(words)
    assert all(one.keywords == [one.nearest[0].text.split()[1]] for one in found.clusters)
    assert repr(found) == "Clusters(4 clusters of 100 sentences)"
    assert cluster_rows(collection, 4, keywords=0).clusters[0].keywords == []
    assert cluster_rows(collection, 4).choice is None

    table = found.cross_tab("kind.name")
    assert table.values == ["card", "fee", "loan", "pin", "other"]  # 20 of each, and 19
    of = {one.keywords[0]: label for label, one in enumerate(found.clusters)}
    for word in words:
        row = dict(zip(table.values, table.counts[of[word]].tolist(), strict=True))
        expected = dict.fromkeys(table.values, 0) | {word: 20, "other": 4 if word == "card" else 5}
        assert row == expected
        assert table.without[of[word]] == (word == "card")
    assert table.to_dataframe().columns.tolist() == ["cluster", *table.values, "without kind.name"]
    assert table.to_dataframe()["other"].sum() == 19
    assert repr(table) == "CrossTab(4 clusters, 5 values of 'kind.name')"
    with pytest.raises(SearchIndexError, match=r"cross_tab counts 'author', but no sentence"):
        found.cross_tab("author")

    frame = found.to_dataframe()
    assert frame["size"].tolist() == [25] * 4
    assert frame["keywords"].tolist() == [one.keywords for one in found.clusters]
    rows = found.to_dataframe(rows=True)
    assert (len(rows), rows["cluster"].tolist()) == (100, found.labels.tolist())


@pytest.mark.parametrize("number", [0, 11, "many"])
def test_a_number_that_cannot_be_is_an_error(number: object, store: Store) -> None:
    collection = store.new(32, "flat")
    collection.add(["x"] * 10, blobs(2, 5))
    with pytest.raises(SearchIndexError, match="n_clusters must be between 1 and the number of sentences, 10, or"):
        cluster_rows(collection, number)  # type: ignore[arg-type]
    with pytest.raises(SearchIndexError, match="n_clusters must be between 1 and the number of sentences, 0"):
        cluster_rows(store.new(4), "auto")


def test_a_field_with_a_value_for_each_row_has_no_cross_table(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simcse_kit.search.cross_tab._MOST", 9)
    collection = store.new(32, "flat")
    collection.add(["x"] * 10, blobs(2, 5), metadata=[{"n": n} for n in range(10)])
    with pytest.raises(SearchIndexError, match="'n' has more than 9 values"):
        cluster_rows(collection, 2).cross_tab("n")
