"""`judge` on real models and indexes with a scripted person: questions, saved marks, resuming and errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from simcse_kit import DataError, Notice, SentenceIndex, SimCSE, evaluate, judge
from simcse_kit.evaluation.judgements import read_judgements, record_use, text_id, used_queries
from simcse_kit.evaluation.judging import Question
from simcse_kit.index.judging import JudgeKey, are_documents
from support.tiny import SENTENCES

Ask = Callable[[Question], JudgeKey]


@pytest.fixture(scope="module")
def pair(tiny_model: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders of two models."""
    folder = tmp_path_factory.mktemp("pair")
    for kind in ("bert", "roberta"):
        SimCSE(tiny_model(kind), pooling="mean", device="cpu").save(folder / kind)
    return folder / "bert", folder / "roberta"


def person(queries: int, seen: list[str] | None = None) -> Ask:
    """Marks hits that contain a word of the query, and quits after some queries."""
    left = [queries]

    def ask(question: Question) -> JudgeKey:
        words = set(question.query.lower().strip(".").split())
        for place, text in enumerate(question.hits):
            if place not in question.relevant and len(words & set(text.lower().strip(".").split())) > 1:
                return place
        if left[0] == 0:
            return "quit"
        left[0] -= 1
        if seen is not None:
            seen.append(question.query)
        return "next"

    return ask


def test_texts_are_the_queries_and_the_same_call_goes_on(pair: tuple[Path, Path], tmp_path: Path) -> None:
    seen: list[str] = []
    first = judge(*pair, SENTENCES, tmp_path / "judged", ask=person(4, seen))
    second = judge(*pair, SENTENCES, tmp_path / "judged", ask=person(3, seen))
    assert len(set(seen)) == len(seen) == 7
    assert set(seen) < set(SENTENCES)
    assert first.names == second.names == ("bert", "roberta")
    assert second.queries + second.unanswered == 7
    for query in read_judgements(tmp_path / "judged").queries.values():
        assert query.id not in query.pool
        assert len(query.first) == len(query.second) == 5
    again: list[str] = []
    judge(*pair, SENTENCES, tmp_path / "again", ask=person(7, again))
    assert again == seen  # the same seed, the same order


def test_the_hits_are_those_of_each_systems_search(pair: tuple[Path, Path], tmp_path: Path) -> None:
    indexes = [SentenceIndex.build(SimCSE(folder, device="cpu"), SENTENCES) for folder in pair]
    judge(indexes[0], pair[1], SENTENCES, tmp_path / "judged", ask=person(2), queries=["a cat", "late trains"], hits=3)
    judged = read_judgements(tmp_path / "judged")
    assert {query.text for query in judged.queries.values()} == {"a cat", "late trains"}
    for query in judged.queries.values():
        for index, own in zip(indexes, (query.first, query.second), strict=True):
            assert own == tuple(text_id(hit.text) for hit in index.search(query.text, k=3))


def test_queries_of_a_file_are_asked_in_an_order_by_chance(pair: tuple[Path, Path], tmp_path: Path) -> None:
    queries = [f"query number {i}" for i in range(8)]
    (tmp_path / "queries.txt").write_text("\n".join(queries))
    seen: list[str] = []
    judge(*pair, SENTENCES, tmp_path / "judged", ask=person(99, seen), queries=tmp_path / "queries.txt")
    assert sorted(seen) == queries != seen
    with pytest.warns(Notice, match="already judged or skipped are not asked again"):
        judge(*pair, SENTENCES, tmp_path / "judged", ask=person(99), queries=tmp_path / "queries.txt")
    typed: list[str] = []
    judge(*pair, SENTENCES, tmp_path / "typed", ask=person(99, typed), queries=iter(queries))
    assert typed == queries


def test_steps_go_back_skip_and_must_be_known(pair: tuple[Path, Path], tmp_path: Path) -> None:
    steps: list[JudgeKey] = [0, "next", 1, "undo", 2, "next", "next", "skip", "quit"]
    asked: list[tuple[str, frozenset[int]]] = []

    def ask(question: Question) -> JudgeKey:
        asked.append((question.query, question.relevant))
        return steps[len(asked) - 1]

    verdict = judge(*pair, SENTENCES, tmp_path / "judged", ask=ask)
    one, two, three, _ = dict.fromkeys(query for query, _ in asked)
    assert asked == [
        (one, frozenset()),
        (one, {0}),
        (two, frozenset()),
        (two, {1}),
        (one, {0}),
        (one, {0, 2}),
        (two, {1}),
        (three, frozenset()),
        asked[-1],
    ]
    assert (verdict.queries, verdict.skipped) == (2, 1)
    with pytest.raises(DataError, match="one of next, skip, undo, quit; got 'nxet'"):
        judge(*pair, SENTENCES, tmp_path / "judged", ask=lambda question: "nxet")  # type: ignore[arg-type, return-value]


@pytest.mark.slow
def test_the_folder_is_data_for_evaluation_and_training(
    pair: tuple[Path, Path], tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    from simcse_kit import repeat_run, train_unsup

    folder, run = tmp_path / "judged", tmp_path / "run"
    (tmp_path / "sentences.txt").write_text("\n".join(SENTENCES * 2))
    verdict = judge(*pair, SENTENCES, folder, ask=person(12), hits=10)
    model = SimCSE(pair[0], device="cpu")
    result = evaluate(model.encoder_fn(), "retrieval", folder)
    assert result.scores["ndcg@10"] == pytest.approx(verdict.difference.first)  # the whole corpus, the same measure
    settings = {"epochs": 1, "batch_size": 40, "eval_steps": 1, "device": "cpu"}
    trained = train_unsup(tmp_path / "sentences.txt", run, model=str(tiny_model("bert")), eval_data=folder, **settings)
    assert trained.select == "eval-data"
    judged = {query.id for query in read_judgements(folder).queries.values() if query.state == "judged"}
    assert set(used_queries(run)) == set(used_queries(folder)) == judged
    assert {use.purpose for use in used_queries(run).values()} == {"selection"}
    seen: list[str] = []
    after = judge(pair[0], run, SENTENCES, tmp_path / "later", ask=person(99, seen))
    assert len(seen) == after.queries + after.unanswered == len(SENTENCES) - len(judged)
    assert not judged & set(map(text_id, seen))
    repeated = repeat_run(run, tmp_path / "again")
    assert SimCSE(repeated.output_dir).fingerprint() == SimCSE(run).fingerprint()
    assert set(used_queries(repeated.output_dir)) == judged


@pytest.mark.parametrize(
    ("texts", "given", "words"),
    [
        (["one line"], {}, "at least two different texts to search in; got 1"),
        (["a text", " a  text "], {}, "at least two different texts to search in; got 1"),
        (SENTENCES, {"queries": []}, "there are no queries"),
        (SENTENCES, {"hits": 0}, "hits must be at least 1; got 0"),
    ],
)
def test_what_cannot_be_judged_is_an_error(
    pair: tuple[Path, Path], tmp_path: Path, texts: list[str], given: dict[str, object], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        judge(*pair, texts, tmp_path / "judged", ask=person(0), **given)  # type: ignore[arg-type]
    assert not (tmp_path / "judged").exists()


def test_an_empty_file_of_queries_is_an_error(pair: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "queries.txt").write_text("\n\n")
    with pytest.raises(DataError, match=r"queries\.txt holds no sentences"):
        judge(*pair, SENTENCES, tmp_path / "judged", ask=person(0), queries=tmp_path / "queries.txt")


def test_equal_systems_are_refused_and_two_ways_to_search_are_not(pair: tuple[Path, Path], tmp_path: Path) -> None:
    index = SentenceIndex.build(SimCSE(pair[0], device="cpu"), SENTENCES)
    with pytest.raises(DataError, match=r"are equal: same model, same search\. No difference is possible"):
        judge(pair[0], index, SENTENCES, tmp_path / "judged", ask=person(0))
    other = SentenceIndex.build(SimCSE(pair[0], device="cpu"), SENTENCES, kind="hnsw")
    other.save(tmp_path / "hnsw")
    verdict = judge(index, str(tmp_path / "hnsw"), SENTENCES, tmp_path / "judged", ask=person(1))
    assert verdict.names == ("bert", "hnsw")


def test_the_folder_of_another_pair_is_refused_before_anything_is_encoded(
    pair: tuple[Path, Path], tiny_model: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge(*pair, SENTENCES, tmp_path / "judged", ask=person(1))
    monkeypatch.setattr(SimCSE, "encode", lambda *_, **__: pytest.fail("encoded"))
    other = SimCSE(tiny_model("albert"), pooling="mean", device="cpu")
    with pytest.raises(DataError, match="holds judgements of bert and roberta, not of bert and albert"):
        judge(pair[0], other, SENTENCES, tmp_path / "judged", ask=person(1))


def test_an_index_of_other_texts_is_said(pair: tuple[Path, Path], tmp_path: Path) -> None:
    small = SentenceIndex.build(SimCSE(pair[0], device="cpu"), SENTENCES[:10])
    with pytest.warns(Notice, match="holds 10 of the 40 texts"):
        judge(small, pair[1], SENTENCES, tmp_path / "small", ask=person(1))
    strange = SentenceIndex.build(SimCSE(pair[0], device="cpu"), [*SENTENCES, "A stranger."])
    with pytest.raises(DataError, match=r"found a text that is not among the given texts: 'A stranger\.'"):
        judge(
            strange, pair[1], SENTENCES, tmp_path / "strange", ask=person(9), queries=["A stranger", "A cat"], hits=41
        )


def test_what_the_start_model_used_is_not_asked(pair: tuple[Path, Path], tmp_path: Path) -> None:
    model = SimCSE(pair[0], device="cpu")
    model.save(tmp_path / "mine")
    record_use(tmp_path / "mine", SENTENCES[:38], purpose="training")
    seen: list[str] = []
    with pytest.warns(Notice, match="train or select one of the models are not asked"):
        judge(tmp_path / "mine", pair[1], SENTENCES, tmp_path / "judged", ask=person(99, seen))
    assert sorted(seen) == sorted(SENTENCES[38:])


def test_documents_are_no_queries() -> None:
    assert not are_documents(SENTENCES)
    assert are_documents([*SENTENCES[:3], *("word " * 41 for _ in range(4))])
