"""Metadata and filters of any depth and size: what is accepted can be read again, the rest changes nothing."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from simcse_kit import DataError, SearchIndexError, SentenceIndex, SimCSE, build_index
from simcse_kit.search.filters import parse_filter
from simcse_kit.serving import create_app

pytestmark = pytest.mark.slow

DEPTHS = [2, 30, 63, 64, 65, 100, 254, 255, 256, 300, 900, 5000]


def nested(levels: int, kind: str) -> str:
    """The JSON of objects, or lists, inside one another: more levels than Python's json can write."""
    opening, closing = ('{"a": ', "}") if kind == "objects" else ("[", "]")
    return '{"a": ' + opening * (levels - 1) + "1" + closing * (levels - 1) + "}"


@pytest.mark.parametrize("kind", ["objects", "lists"])
def test_what_the_server_takes_it_answers_with(kind: str, model: SimCSE, sentences: list[str], tmp_path: Path) -> None:
    index = SentenceIndex.build(model, sentences)
    index.save(tmp_path / "i")
    taken = 0
    with TestClient(
        create_app({"i": index}, writable=True), base_url="http://localhost", raise_server_exceptions=False
    ) as client:
        for levels in DEPTHS:
            text = f"unique {levels} {kind} zebra"
            body = f'{{"sentences": ["{text}"], "metadata": [{nested(levels, kind)}]}}'
            added = client.post("/add", content=body, headers={"content-type": "application/json"})
            assert added.status_code == 200 if levels <= 64 else added.status_code in (400, 422), added.text
            taken += added.status_code == 200
            answer = client.post("/search", json={"queries": text, "k": 50})
            assert answer.status_code == 200
            found = {hit["text"]: hit["metadata"] for hit in answer.json()["hits"][0]}
            assert found.get(text) == (json.loads(nested(levels, kind)) if levels <= 64 else None)
            assert len(found) == len(sentences) + taken
    again = SentenceIndex.open(tmp_path / "i", model)
    again.verify()
    assert len(again.search("zebra", 60)) == len(sentences) + taken


@pytest.mark.parametrize("kind", ["objects", "lists"])
def test_a_file_with_such_a_row_is_refused_by_its_line_or_the_row_is_skipped(
    kind: str, model: SimCSE, tmp_path: Path
) -> None:
    file = tmp_path / "t.jsonl"
    for levels in (65, 300, 5000):
        lines = [json.dumps({"text": f"Sentence {n}.", "about": {"n": n}}) for n in range(5)]
        lines[3] = f'{{"text": "Sentence 3.", "about": {nested(levels, kind)}}}'
        file.write_text("\n".join(lines), encoding="utf-8")
        with pytest.raises(DataError, match="line 4"):
            build_index(model, file, tmp_path / "i", columns=["text"], metadata_columns=["about"])
        assert not (tmp_path / "i").exists()
        index, counts = build_index(
            model, file, tmp_path / f"i{levels}", columns=["text"], metadata_columns=["about"], skip_bad_rows=True
        )
        assert (counts.rows, counts.skipped) == (4, 1)
        assert len(index.search("Sentence", 5)) == 4


def test_filters_of_any_size_are_answered_or_refused_in_time(model: SimCSE, sentences: list[str]) -> None:
    index = SentenceIndex.build(model, sentences, metadata=[{"n": n} for n in range(len(sentences))])
    for size in (10, 1000, 3000, 5000, 20_000, 400_000):
        for condition in (
            {"$or": [{"n": {"$gt": value}} for value in range(size)]},
            {"$and": [{"$or": [{"n": value}]} for value in range(size)]},
            {"$or": [{} for _ in range(size)]},
            {f"key{value}": {} for value in range(size)},
            {"n": {"$in": list(range(size))}},
            {"$and": [{"n": {"$nin": [value, None]}} for value in range(size)]},
        ):
            began = time.monotonic()
            try:
                index.search("cat", 3, filter=condition)
            except SearchIndexError as error:
                assert "damaged" not in str(error)  # noqa: PT017
                assert "SQL" not in str(error)  # noqa: PT017
            assert time.monotonic() - began < 30
    deep: dict[str, Any] = {"n": 1}
    for levels in range(1, 900):
        deep = {"$not": deep}
        if levels in (40, 41, 899):
            if levels == 40:
                parse_filter(deep)
            else:
                with pytest.raises(SearchIndexError, match="at most 40 levels deep"):
                    parse_filter(deep)
