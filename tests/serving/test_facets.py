"""Fields to filter by: their choice, their counts, and filters that find the counted rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from simcse_kit import SentenceIndex, SimCSE
from simcse_kit.errors import SearchIndexError
from simcse_kit.search import IndexRow
from simcse_kit.serving import PageSettings, ServeError, create_app
from simcse_kit.serving.facets import ValueCount, facets_of
from simcse_kit.serving.projection import CorpusMap
from support.commands import run

MARKUP = "<img src=x onerror=alert(1)>"


def rows(field: str, values: list[Any]) -> list[IndexRow]:
    """A row for each value; None means no metadata."""
    return [IndexRow(i, "text", None if value is None else {field: value}) for i, value in enumerate(values)]


def chosen(field: str, values: list[Any]) -> list[str]:
    return [facet.field for facet in facets_of(rows(field, values), len(values), None).fields]


def test_a_field_with_few_values_is_counted() -> None:
    (facet,) = facets_of(rows("lang", ["de", "en", "de", None, "fr", "de", "en"]), 7, None).fields
    assert facet.values == [ValueCount("de", 3), ValueCount("en", 2), ValueCount("fr", 1)]
    assert (facet.others, facet.without) == (0, 1)
    assert facet.codes(rows("lang", ["fr", None, "xx", "de"])) == [2, None, None, 0]


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("price", [1.5, 2.5] * 4),  # measured numbers
        ("tags", [["a"], ["b"]] * 4),
        ("name", ["a", "b", "c", "d"]),  # each once
        ("lang", ["en"] * 8),  # nothing to choose
        ("code", [f"{i}" for i in range(13)] * 2),  # too many
        ("body", ["x" * 61, "y"] * 4),  # too long for a chip
        ("mixed", [1, "1"] * 4),
        ("a.b", ["x", "y"] * 4),  # a filter reads the dot as the way into an object
        ("$and", ["x", "y"] * 4),
        ('a"b', ["x", "y"] * 4),
    ],
)
def test_other_fields_are_not_chosen(field: str, values: list[Any]) -> None:
    assert chosen(field, values) == []


@pytest.mark.parametrize("values", [["a", "b"] * 2, [True, False] * 2, [2024, 2025] * 2])
def test_texts_booleans_and_integers_are_chosen(values: list[Any]) -> None:
    assert chosen("field", values) == ["field"]


def test_true_is_not_one() -> None:
    (facet,) = facets_of(rows("x", [True, 1, 1, "1"]), 4, ["x"]).fields
    assert [(type(one.value), one.count) for one in facet.values] == [(int, 2), (bool, 1), (str, 1)]
    assert facet.codes(rows("x", [True, 1, "1"])) == [1, 0, 2]


def test_a_named_field_is_taken_and_cut() -> None:
    values = [f"{i:02}" for i in range(40)]
    (facet,) = facets_of(rows("name", [*values, *values[:30], ["list"]]), 71, ["name"]).fields
    assert [one.value for one in facet.values] == values[:30]
    assert facet.others == 11
    tags = [IndexRow(0, "text", {"tag": {"kind": "bug"}})]
    assert facets_of(tags, 1, ["tag.kind"]).fields[0].values == [ValueCount("bug", 1)]


@pytest.fixture
def tickets(model: SimCSE, sentences: list[str], tmp_path: Path) -> SentenceIndex:
    metadata = [{"lang": ("de", "en", MARKUP)[i % 3], "open": i % 2 == 0, "number": i} for i in range(len(sentences))]
    made = SentenceIndex.build(model, sentences, metadata=metadata)
    made.save(tmp_path / "tickets")
    return made


@pytest.fixture
def client(tickets: SentenceIndex) -> Iterator[TestClient]:
    with TestClient(create_app({"tickets": tickets}, writable=True), base_url="http://localhost") as made:
        yield made


def counts(client: TestClient) -> dict[str, dict[Any, int]]:
    answer = client.get("/facets").json()
    return {one["field"]: {value["value"]: value["count"] for value in one["values"]} for one in answer["fields"]}


def test_a_filter_finds_as_many_as_were_counted(client: TestClient, sentences: list[str]) -> None:
    found = counts(client)
    assert found.keys() == {"lang", "open"}
    for field, values in found.items():
        assert sum(values.values()) == len(sentences)
        for value, count in values.items():
            body = {"queries": "cat", "k": len(sentences), "filter": {field: {"$in": [value]}}}
            assert len(client.post("/search", json=body).json()["hits"][0]) == count


def test_the_map_has_the_value_of_each_point(client: TestClient, tickets: SentenceIndex) -> None:
    answer = client.get("/map").json()
    metadata = {row.id: row.metadata or {} for row in tickets.get(answer["ids"])}
    assert [one["field"] for one in answer["fields"]] == ["lang", "open"]
    for one in answer["fields"]:
        shown = [one["values"][code] for code in one["codes"]]
        assert shown == [metadata[id_][one["field"]] for id_ in answer["ids"]]


def test_counts_follow_commits(client: TestClient, tickets: SentenceIndex) -> None:
    before = counts(client)
    client.post("/add", json={"sentences": ["One more."], "metadata": [{"lang": "de", "open": True, "number": 99}]})
    added = counts(client)
    assert added["lang"]["de"] == before["lang"]["de"] + 1
    assert tickets.folder is not None
    other = SentenceIndex.open(tickets.folder)
    other.commit(lambda now: now.update(["Another."], ids=[1], metadata=[{"lang": "de", "open": False, "number": 1}]))
    assert counts(client)["lang"]["de"] == added["lang"]["de"] + 1, "as many rows as before"


def test_a_large_index_is_counted_on_a_sample(
    client: TestClient, sentences: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CorpusMap, "LARGEST", 20)
    answer = client.get("/facets").json()
    assert (answer["counted"], answer["count"]) == (20, len(sentences))
    assert sum(value["count"] for value in answer["fields"][0]["values"]) == 20


def test_named_facets_are_those_of_the_page(tickets: SentenceIndex) -> None:
    app = create_app({"tickets": tickets}, page=PageSettings(facets=["number"]))
    with TestClient(app, base_url="http://localhost") as client:
        assert counts(client).keys() == {"number"}
    with pytest.raises(SearchIndexError, match="the facet of tickets is 'colour', but no sentence"):
        create_app({"tickets": tickets}, page=PageSettings(facets=["colour"]))


def test_what_the_page_shows_is_in_info(tickets: SentenceIndex) -> None:
    page = PageSettings(title=MARKUP, link="https://tickets.example/{id}", queries=["a cat"])
    with TestClient(create_app({"tickets": tickets}, page=page), base_url="http://localhost") as client:
        assert client.get("/info").json()["page"] == {"title": MARKUP, "link": page.link, "queries": ["a cat"]}
        assert MARKUP not in client.get("/").text


@pytest.mark.parametrize(
    ("link", "wrong"),
    [
        ("javascript:alert({id})", "starts with javascript:"),
        ("data:text/html,{id}", "starts with data:"),
        ("file:///{id}", "starts with file:"),
        ("//tickets.example/{id}", "starts with no scheme"),
        ("https:///{id}", "has no host"),
        ("https://{id}.example/", "in its host"),
        ("https://x@tickets.example/{id}", "a user name"),
        ("https://tickets.example/", "has no {id}"),
        ("https://tickets.example/{number}/{id}", "a placeholder other than {id}"),
        ("https://tickets.example\\@evil.example/{id}", "a character that addresses do not allow"),
        ("https://tickets.example/ {id}", "a blank"),
        ("java\nscript:alert({id})", "a blank"),
        ("https://[tickets/{id}", "cannot be parsed"),
    ],
)
def test_other_links_are_refused(link: str, wrong: str) -> None:
    with pytest.raises(ServeError) as refused:
        PageSettings(link=link)
    assert wrong in str(refused.value)
    assert "https://tickets.example/{id}: http or https" in str(refused.value)


@pytest.mark.parametrize("link", ["http://localhost:8080/{id}", "https://t.example/find?id={id}&again={id}#{id}"])
def test_web_addresses_are_links(link: str) -> None:
    assert PageSettings(link=link).link == link


def test_an_empty_title_or_query_is_refused() -> None:
    with pytest.raises(ServeError, match="title is empty"):
        PageSettings(title=" ")
    with pytest.raises(ServeError, match="a sample query of the page is empty"):
        PageSettings(queries=["cat", ""])


def test_demo_refuses_before_it_loads_anything(tmp_path: Path) -> None:
    done = run("demo", tmp_path / "nothing", "--no-browser", "--link", "javascript:alert({id})")
    assert done.returncode == 1
    assert "starts with javascript:" in done.stderr


def test_demo_names_the_fields_that_there_are(tickets: SentenceIndex) -> None:
    done = run("demo", tickets.folder, "--no-browser", "--port", "0", "--facet", "colour")
    assert done.returncode == 1
    assert "lang (text), open (boolean), number (integer)" in " ".join(done.stderr.split())


def test_demo_gives_the_page_its_settings(tickets: SentenceIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr("simcse_kit.serving.server.serve", lambda *_, **settings: given.update(settings))
    link = "https://tickets.example/{id}"
    done = run(
        *(
            "demo",
            tickets.folder,
            "--title",
            "Tickets",
            "--link",
            link,
            "--facet",
            "lang",
            "--query",
            "a",
            "--query",
            "b",
        )
    )
    assert done.returncode == 0, done.stderr
    page = given["page"]
    assert page == PageSettings(title="Tickets", link=link, queries=["a", "b"], facets=["lang"])
