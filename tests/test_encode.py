"""`encode` against a plain loop and against sentence-transformers' `encode` on the same folder."""

from __future__ import annotations

import multiprocessing
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import simcse_kit
from simcse_kit import Notice, SimCSE
from simcse_kit.encoder.backends.processes import Pool
from support.plain import plain_vectors, unit
from support.tiny import SENTENCES, make_model


@pytest.fixture(scope="module")
def model(tiny_model: Callable[[str], Path]) -> SimCSE:
    return SimCSE(tiny_model("bert"), pooling="mean", device="cpu")


@pytest.fixture(scope="module")
def expected(tiny_model: Callable[[str], Path]) -> dict[str, np.ndarray]:
    vectors = unit(plain_vectors(tiny_model("bert"), "mean", SENTENCES))
    return dict(zip(SENTENCES, vectors, strict=True))


@pytest.fixture(scope="module")
def prompted(tmp_path_factory: pytest.TempPathFactory, model: SimCSE) -> tuple[SimCSE, Any]:
    """A folder with prompts, in both libraries."""
    from sentence_transformers import SentenceTransformer

    folder = tmp_path_factory.mktemp("prompted") / "model"
    both = SentenceTransformer(modules=list(_modules(model, folder.parent / "plain")), device="cpu")
    both.prompts = {"query": "the cat: ", "document": "the dog: ", "other": "water and "}
    both.save(str(folder))
    return SimCSE(folder, device="cpu"), SentenceTransformer(str(folder), device="cpu")


def _modules(model: SimCSE, folder: Path) -> Any:
    from sentence_transformers import SentenceTransformer

    model.save(folder)
    return SentenceTransformer(str(folder), device="cpu").children()


@settings(max_examples=25, deadline=None)
@given(texts=st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=20), batch_size=st.integers(1, 12))
def test_batches_order_and_duplicates_change_nothing(
    model: SimCSE, expected: dict[str, np.ndarray], texts: list[str], batch_size: int
) -> None:
    vectors = unit(model.encode(texts, batch_size=batch_size))
    np.testing.assert_allclose(vectors, np.stack([expected[text] for text in texts]), atol=1e-5)


@pytest.mark.parametrize("kind", ["roberta", "deberta", "modernbert", "mpnet", "gpt2", "llama"])
def test_a_padded_batch_equals_single_sentences(kind: str, tiny_model: Callable[[str], Path]) -> None:
    model = SimCSE(tiny_model(kind), pooling="last_token" if kind in ("gpt2", "llama") else "mean", device="cpu")
    alone = np.stack([model.encode(text) for text in SENTENCES])
    np.testing.assert_allclose(unit(model.encode(SENTENCES, batch_size=64)), unit(alone), atol=1e-5)


def test_shapes(model: SimCSE) -> None:
    assert model.encode("The cat.").shape == (32,)
    assert model.encode(["The cat."]).shape == (1, 32)
    assert model.encode([]).shape == (0, 32)
    assert model.encode([], truncate_dim=8).shape == (0, 8)
    assert model.encode([], convert_to_tensor=True).shape == (0, 32)
    assert model.encode([], convert_to_numpy=False) == []
    assert model.encode([], precision="int8").shape == (0, 32)
    assert model.encode([], precision="ubinary").shape == (0, 4)
    assert model.encode("The cat.", convert_to_tensor=True).shape == (32,)
    assert model.encode("The cat.", convert_to_numpy=False).shape == (32,)
    assert model.encode("The cat.").dtype == np.float32


@pytest.mark.parametrize("make", [tuple, np.array, iter])
def test_any_sequence_of_strings_is_taken(model: SimCSE, make: Callable[[list[str]], Any]) -> None:
    np.testing.assert_array_equal(model.encode(make(SENTENCES[:5])), model.encode(SENTENCES[:5]))


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"sentences": ["a", 3]}, TypeError, r"sentences\[1\] is int: '3'"),
        ({"sentences": [None]}, TypeError, "NoneType"),
        ({"sentences": ["a"], "batch_size": 0}, ValueError, "batch_size must be a positive integer"),
        ({"sentences": ["a"], "precision": "int4"}, ValueError, "float32, int8, uint8, binary, ubinary; got 'int4'"),
        ({"sentences": ["a"], "prompt_name": "nobody"}, ValueError, "prompt_name must be one of query, document"),
        ({"sentences": ["a"], "device": "nowhere"}, simcse_kit.ModelError, "cannot use device 'nowhere'"),
        ({"sentences": ["a"], "truncate_dim": 0}, ValueError, "truncate_dim"),
    ],
)
def test_wrong_arguments(model: SimCSE, arguments: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        model.encode(**arguments)


SAME_AS_SENTENCE_TRANSFORMERS: list[dict[str, Any]] = [
    {},
    {"prompt": "on the table "},
    {"prompt_name": "other"},
    {"prompt": "on the table ", "prompt_name": "other"},
    {"prompt": ""},
    {"normalize_embeddings": True},
    {"truncate_dim": 8},
    {"truncate_dim": 8, "normalize_embeddings": True},
    {"truncate_dim": 99},
    {"batch_size": 3},
    {"convert_to_tensor": True},
    {"convert_to_numpy": False},
    {"precision": "binary"},
    {"precision": "ubinary"},
    {"precision": "ubinary", "convert_to_tensor": True},
    {"precision": "binary", "convert_to_numpy": False},
]


@pytest.mark.parametrize("arguments", SAME_AS_SENTENCE_TRANSFORMERS, ids=str)
def test_arguments_mean_what_they_mean_in_sentence_transformers(
    prompted: tuple[SimCSE, Any], arguments: dict[str, Any]
) -> None:
    ours, theirs = (model.encode(SENTENCES[:9], **arguments) for model in prompted)
    assert type(ours) is type(theirs)
    assert len(ours) == len(theirs)
    assert ours[0].dtype == theirs[0].dtype
    assert ours[0].shape == theirs[0].shape
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(np.asarray(a, dtype=float), np.asarray(b, dtype=float), atol=1e-5)


@pytest.mark.parametrize("method", ["encode_query", "encode_document"])
@pytest.mark.parametrize("arguments", [{}, {"prompt": "on "}, {"prompt_name": "other"}, {"truncate_dim": 4}], ids=str)
def test_query_and_document_prompts(prompted: tuple[SimCSE, Any], method: str, arguments: dict[str, Any]) -> None:
    ours, theirs = (getattr(model, method)(SENTENCES[:5], **arguments) for model in prompted)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_texts_of_no_tokens(tiny_model: Callable[[str], Path]) -> None:
    """A decoder without special tokens gives "" no token at all: the same finite vector, alone or in a batch."""
    for pooling in ("last_token", "mean", "max"):
        model = SimCSE(tiny_model("gpt2"), pooling=pooling, device="cpu")
        alone, batch = model.encode([""]), model.encode(["", "The cat sleeps."])
        assert np.isfinite(batch).all()
        np.testing.assert_allclose(alone[0], batch[0], atol=1e-5)
        np.testing.assert_allclose(model.encode(["The cat sleeps."])[0], batch[1], atol=1e-5)


def test_truncation_is_counted_and_said_once(model: SimCSE, tiny_model: Callable[[str], Path]) -> None:
    short = SimCSE(tiny_model("bert"), pooling="mean", device="cpu", max_seq_length=8)
    texts = ["I lost my keys.", SENTENCES[17 + 4], SENTENCES[13]]
    with pytest.warns(Notice, match=r"3 of 4 texts are longer than max_seq_length = 8 tokens and were cut"):
        short.encode([*texts, texts[1]])  # equal texts are encoded once, and were cut twice
    with warnings.catch_warnings(action="error"):
        short.encode(texts)
    ids = model.tokenize(texts).rows([1])[0]
    cut = [*ids[:7], ids[-1]]
    assert short.tokenize(texts).rows([1])[0].tolist() == cut


@pytest.mark.parametrize("kind", ["bert", "roberta", "xlmr", "mpnet", "distilbert", "gpt2"])
def test_a_text_of_any_length_fits_the_positions(kind: str, tiny_model: Callable[[str], Path]) -> None:
    """RoBERTa's 66 positions hold 64 tokens, as its 514 hold 512."""
    model = SimCSE(tiny_model(kind), pooling="mean", device="cpu")
    assert model.max_seq_length == 64
    with pytest.warns(Notice, match="longer than max_seq_length = 64"):
        assert np.isfinite(model.encode(["cat " * 200])).all()
    with pytest.raises(simcse_kit.ModelError, match=r"at most the backbone's 64 positions .*; got 65"):
        SimCSE(tiny_model(kind), pooling="mean", max_seq_length=65)


def test_full_length_lifts_the_limit_and_puts_it_back(tiny_model: Callable[[str], Path]) -> None:
    model = SimCSE(tiny_model("bert"), pooling="mean", device="cpu", max_seq_length=6)
    whole = SimCSE(tiny_model("bert"), pooling="mean", device="cpu").encode(SENTENCES)
    with model.full_length():
        np.testing.assert_allclose(model.encode(SENTENCES), whole, atol=1e-6)
    assert model.max_seq_length == 6


KOREAN = [
    "한 남자가 기타를 치고 있다.",
    "고양이가 따뜻한 소파에서 자고 있다.",
    "내일은 비가 올 것이다.",
    "그는 바다의 역사에 관한 책을 읽는다.",
]


def test_a_foreign_vocabulary_is_noticed_once(minilm: SimCSE) -> None:
    with pytest.warns(Notice, match="does not suit this model's vocabulary"):
        minilm.encode(KOREAN * 4)
    with warnings.catch_warnings(action="error"):
        minilm.encode(KOREAN * 4)


@pytest.mark.filterwarnings("error::simcse_kit.Notice")
def test_english_and_a_few_emojis_are_not_noticed(minilm: SimCSE) -> None:
    minilm.encode(SENTENCES)
    minilm.encode([*SENTENCES, "Great! 😀😀", "See you 👋"])
    minilm.encode(["Yes.", "👍", "K."])


def test_the_first_call_of_all(minilm: SimCSE) -> None:
    """`simcse_kit.encode` with nothing named is MiniLM, loaded once."""
    np.testing.assert_allclose(simcse_kit.encode("The cat sleeps."), minilm.encode("The cat sleeps."), atol=1e-6)
    np.testing.assert_array_equal(simcse_kit.encode(["A cat."], model=minilm), minilm.encode(["A cat."]))


def test_encoding_leaves_training_mode_and_gradients_as_they_are(model: SimCSE) -> None:
    model.encoder.train()
    try:
        first, second = model.encode(SENTENCES[:3]), model.encode(SENTENCES[:3])
        assert model.encoder.training
        np.testing.assert_array_equal(first, second)
    finally:
        model.encoder.eval()
    assert all(parameter.grad is None for parameter in model.encoder.parameters())


def test_half_precision_weights_give_float32_vectors(tmp_path: Path) -> None:
    model = SimCSE(make_model("bert", tmp_path / "model"), pooling="mean", device="cpu")
    model.encoder.to(torch.bfloat16)
    assert model.encode(SENTENCES[:2]).dtype == np.float32


# similarity


def test_similarity_of_strings_has_the_original_tools_shapes(model: SimCSE) -> None:
    a, b = SENTENCES[:3], SENTENCES[3:5]
    matrix = model.similarity(a, b)
    assert isinstance(matrix, np.ndarray)
    np.testing.assert_allclose(matrix, unit(model.encode(a)) @ unit(model.encode(b)).T, atol=1e-5)
    np.testing.assert_allclose(model.similarity(a[0], b), matrix[0], atol=1e-6)
    single = model.similarity(a[0], b[0])
    assert type(single) is float
    assert single == pytest.approx(matrix[0, 0], abs=1e-6)
    np.testing.assert_allclose(model.similarity(a, b[0]), matrix[:, :1], atol=1e-6)
    np.testing.assert_allclose(model.similarity(model.encode(a), b), matrix, atol=1e-6)
    np.testing.assert_allclose(model.similarity(np.array(a), tuple(b)), matrix, atol=1e-6)
    assert model.similarity(a, []).shape == (3, 0)
    assert model.similarity(a[0], []).shape == (0,)
    assert model.similarity([], b).shape == (0, 2)


@pytest.mark.parametrize("name", ["cosine", "dot", "euclidean", "manhattan"])
def test_similarity_of_vectors_is_sentence_transformers(prompted: tuple[SimCSE, Any], name: str) -> None:
    ours, theirs = prompted
    ours.settings.similarity_fn_name = theirs.similarity_fn_name = name
    a, b = ours.encode(SENTENCES[:4]), ours.encode(SENTENCES[4:8])
    forms: list[tuple[Any, Any]] = [
        (a, b),
        (torch.from_numpy(a), b),
        (list(a), [torch.from_numpy(row) for row in b]),
        (a[0], b),
        (a.astype(np.float64), b),
        (a.tolist(), b.tolist()),
    ]
    for left, right in forms:
        result = ours.similarity(left, right)
        assert isinstance(result, torch.Tensor)
        reference = theirs.similarity(np.asarray(left, dtype=np.float32), np.asarray(right, dtype=np.float32))
        np.testing.assert_allclose(result, reference, atol=1e-4, rtol=1e-5)
    np.testing.assert_allclose(ours.similarity_pairwise(a, b), theirs.similarity_pairwise(a, b), atol=1e-4, rtol=1e-5)
    ours.settings.similarity_fn_name = "cosine"


def test_a_zero_vector_is_similar_to_nothing(model: SimCSE) -> None:
    assert model.similarity(np.zeros((1, 32)), np.ones((1, 32))).item() == 0


@pytest.mark.parametrize("precision", ["int8", "uint8"])
def test_a_text_has_the_same_bytes_in_every_call(model: SimCSE, precision: str) -> None:
    whole = model.encode(SENTENCES, precision=precision)
    np.testing.assert_array_equal(model.encode(SENTENCES[3:7], precision=precision), whole[3:7])
    np.testing.assert_array_equal(model.encode(SENTENCES[3], precision=precision), whole[3])
    signed = whole.astype(float) - (128 if precision == "uint8" else 0)
    assert np.abs(signed).max(1).tolist() == [127] * len(SENTENCES)
    cosines = unit(model.encode(SENTENCES)) @ unit(model.encode(SENTENCES)).T
    np.testing.assert_allclose(unit(signed) @ unit(signed).T, cosines, atol=0.02)


@pytest.mark.parametrize("precision", ["int8", "uint8"])
def test_by_ranges_numbers_are_sentence_transformers_and_a_model_keeps_them(
    model: SimCSE, precision: str, tmp_path: Path
) -> None:
    from sentence_transformers.util import quantize_embeddings

    vectors = model.encode(SENTENCES)
    ranges = np.stack([vectors[:20].min(0), vectors[:20].max(0)])  # other texts are cut to these widths
    expected = quantize_embeddings(vectors, precision=precision, ranges=ranges)
    np.testing.assert_allclose(
        model.encode(SENTENCES, precision=precision, ranges=ranges).astype(int), expected.astype(int), atol=1
    )
    model.save(tmp_path / "model")
    kept = SimCSE(tmp_path / "model", device="cpu")
    assert kept.int8_ranges is None
    kept.int8_ranges = ranges
    kept.save(tmp_path / "kept")
    again = SimCSE(tmp_path / "kept", device="cpu")
    np.testing.assert_array_equal(again.int8_ranges, ranges)
    np.testing.assert_allclose(again.encode(SENTENCES, precision=precision).astype(int), expected.astype(int), atol=1)
    with pytest.raises(ValueError, match=r"ranges have 3 dimensions; the vectors have 32"):
        model.encode("a", precision=precision, ranges=np.array([[0, 0, 0], [1, 1, 1]]))
    for wrong in (np.zeros(32), [[1.0], [0.0]], [[0.0], [np.nan]]):
        with pytest.raises(ValueError, match="ranges"):
            model.encode("a", precision=precision, ranges=wrong)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_vectors_of_any_length_keep_their_cosines(model: SimCSE, scale: float) -> None:
    vectors = model.encode(SENTENCES[:4])
    scaled = vectors * np.float32(scale)
    np.testing.assert_allclose(model.similarity(scaled, vectors), model.similarity(vectors, vectors), atol=1e-5)
    np.testing.assert_allclose(model.similarity_pairwise(scaled, vectors), 1, atol=1e-5)


# Odd input


def _columns(texts: list[str]) -> dict[str, Callable[[], Any]]:
    import pandas as pd
    import pyarrow as pa
    from datasets import Dataset

    return {
        "series": lambda: pd.Series(texts, index=range(100, 100 - len(texts), -1)),
        "string series": lambda: pd.Series(texts, dtype="string"),
        "categories": lambda: pd.Series(texts, dtype="category"),
        "objects": lambda: np.array(texts, dtype=object),
        "arrow": lambda: pa.array(texts),
        "chunks": lambda: pa.chunked_array([texts[:2], texts[2:]]),
        "data set": lambda: Dataset.from_dict({"t": texts})["t"],
    }


@pytest.mark.parametrize("form", ["series", "string series", "categories", "objects", "arrow", "chunks", "data set"])
def test_a_column_of_any_library_is_its_texts(model: SimCSE, form: str) -> None:
    texts = SENTENCES[:5]
    column = _columns(texts)[form]()
    np.testing.assert_array_equal(model.encode(column), model.encode(texts))
    np.testing.assert_array_equal(model.similarity(column, texts[0]), model.similarity(texts, texts[0]))
    np.testing.assert_array_equal(model.encoder_fn()(column), model.encode(texts))


def test_a_generator_is_its_texts(model: SimCSE) -> None:
    texts = SENTENCES[:3]
    np.testing.assert_array_equal(model.encode(text for text in texts), model.encode(texts))
    np.testing.assert_array_equal(
        model.similarity((text for text in texts), texts[0]), model.similarity(texts, texts[0])
    )


def test_numpys_scalar_of_text_is_one_string(model: SimCSE) -> None:
    for scalar in (np.str_(SENTENCES[0]), np.array(SENTENCES[0]), np.array(SENTENCES[0], dtype=object)):
        np.testing.assert_array_equal(model.encode(scalar), model.encode(SENTENCES[0]))


def test_polars_columns_are_their_texts_and_its_tables_are_refused(model: SimCSE) -> None:
    polars = pytest.importorskip("polars")
    texts = SENTENCES[:4]
    table = polars.DataFrame({"number": [1, 2, 3, 4], "body": texts})
    for column in (table["body"], polars.Series(texts, dtype=polars.Categorical)):
        np.testing.assert_array_equal(model.encode(column), model.encode(texts))
        np.testing.assert_array_equal(model.similarity(column, texts[0]), model.similarity(texts, texts[0]))
    with pytest.raises(TypeError, match=r"sentences\[1\] is NoneType"):
        model.encode(polars.Series(["a", None]))
    with pytest.raises(TypeError, match=r"as table\['body'\]. Its text column is body"):
        model.encode(table)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(
            TypeError, match=r"a LazyFrame, which is a table; collect one of its .* Columns: number, body"
        ):
            model.encode(table.lazy())


@pytest.mark.parametrize("form", ["pandas", "arrow", "data set"])
def test_a_table_is_refused_and_its_columns_of_text_are_named(model: SimCSE, form: str) -> None:
    import pandas as pd
    import pyarrow as pa
    from datasets import Dataset

    cells = {"number": [1, 2], "body": [None, "a"], "title": ["b", "c"]}
    make = {"pandas": pd.DataFrame, "arrow": pa.table, "data set": Dataset.from_dict}
    table = make[form](cells)
    text = r"which is a table; pass one of its columns, such as table\['body'\]. Its text columns are body, title"
    for call in (model.encode, model.encoder_fn(), lambda rows: model.similarity(rows, "a")):
        with pytest.raises(TypeError, match=text):
            call(table)
    with pytest.raises(TypeError, match="without a text column; columns: number"):
        model.encode(make[form]({"number": [1, 2]}))


def test_missing_values_of_pandas_are_refused_with_their_place(model: SimCSE) -> None:
    import pandas as pd

    for missing in (None, float("nan"), pd.NA):
        column = pd.Series(["a", missing, "b"], index=[7, 8, 9])
        for call in (model.encode, lambda column: model.similarity(column, "a")):
            with pytest.raises(TypeError, match=r"sentences\[1\] is"):
                call(column)
    with pytest.raises(TypeError, match="a string or a sequence of strings; got int"):
        model.encode(5)


@pytest.mark.parametrize("odd", [None, 3, 2.5, float("nan"), b"bytes", ["a", "list"], ("a",), np.float32("nan")])
def test_what_is_no_text_is_named_with_its_place(model: SimCSE, odd: Any) -> None:
    with pytest.raises(TypeError, match=rf"sentences\[2\] is {type(odd).__name__}"):
        model.encode(["a", "b", odd])


@pytest.mark.parametrize(
    "text", ["", " ", "\t\n \r", "\x00", "\x00a\x1b[31m", "\u200b\ufeff", "a\u0301" * 50, "\U0010ffff"]
)
def test_odd_texts_encode(model: SimCSE, text: str) -> None:
    vectors = model.encode([text, "a cat", text])
    assert np.isfinite(vectors).all()
    np.testing.assert_allclose(vectors[0], vectors[2], atol=1e-6)
    np.testing.assert_allclose(vectors[0], model.encode(text), atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(st.characters(codec=None), max_size=30), min_size=1, max_size=8), st.none() | st.integers(1, 3))
def test_any_unicode_encodes(model: SimCSE, texts: list[str], batch_size: int | None) -> None:
    """Half surrogate pairs too; each text has its own vector, whatever the other texts are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        vectors = model.encode(texts, batch_size=batch_size)
        alone = np.stack([model.encode(text) for text in texts])
    assert np.isfinite(vectors).all()
    np.testing.assert_allclose(vectors, alone, atol=1e-5)


def test_half_a_surrogate_pair_is_said(model: SimCSE) -> None:
    with pytest.warns(Notice, match="1 of 2 texts contain half of a surrogate pair"):
        vectors = model.encode(["a \ud83d cat", "a cat"])
    np.testing.assert_array_equal(vectors[0], model.encode("a \ufffd cat"))


@pytest.mark.slow
def test_a_text_of_10_megabytes(model: SimCSE) -> None:
    text = "the cat sat on the mat " * 450_000
    with pytest.warns(Notice, match="1 of 1 texts are longer than max_seq_length"):
        vector = model.encode(text)
    np.testing.assert_allclose(vector, model.encode(text[:20_000]), atol=1e-6)


# Several processes


@pytest.mark.slow
def test_several_processes_give_the_same(model: SimCSE) -> None:
    texts = [*SENTENCES, "", SENTENCES[0], *SENTENCES[:7]]
    expected = model.encode(texts, normalize_embeddings=True, prompt="the cat: ")
    found = model.encode(texts, normalize_embeddings=True, prompt="the cat: ", device=["cpu", "cpu"])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    with model.start_multi_process_pool(["cpu"]) as pool:
        np.testing.assert_allclose(model.encode(SENTENCES[:3], pool=pool), model.encode(SENTENCES[:3]), atol=1e-6)
        assert model.encode([], pool=pool).shape == (0, model.get_embedding_dimension())
        assert model.encode(SENTENCES[0], pool=pool).shape == (model.get_embedding_dimension(),)


def test_a_process_that_dies_is_an_error(model: SimCSE) -> None:
    with model.start_multi_process_pool(["cpu"]) as pool:
        model.encode(SENTENCES[:2], pool=pool)
        for process in multiprocessing.active_children():
            process.kill()
        with pytest.raises(simcse_kit.ModelError, match="an encoding process has stopped"):
            model.encode(SENTENCES[:2], pool=pool)


class _Unreadable:
    """A model that a process cannot take."""

    def __reduce__(self) -> Any:
        return _fail, ()


def _fail() -> None:
    raise OSError("no such model here")


@pytest.mark.slow
def test_an_error_in_a_process_is_the_callers() -> None:
    with Pool(_Unreadable(), ["cpu"]) as pool, pytest.raises(OSError, match="no such model here"):
        pool.embed(["a"])


_UNGUARDED = """
import sys
from simcse_kit import SimCSE
model = SimCSE(sys.argv[1], pooling="mean", device="cpu")
print(model.encode(["Rain.", "Yes."], device=["cpu"]).shape)
"""


@pytest.mark.slow
def test_a_script_without_a_guard_ends_with_the_remedy(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(_UNGUARDED)
    model = str(tiny_model("bert"))
    run = partial(subprocess.run, capture_output=True, text=True, timeout=600)
    found = run([sys.executable, str(tmp_path / "script.py"), model])
    assert found.returncode == 1
    assert 'if __name__ == "__main__":\n        vectors = model.encode(sentences' in found.stderr
    assert found.stderr.count("Traceback") == 1
    piped = run([sys.executable, "-", model], input=_UNGUARDED)
    assert piped.returncode == 1
    assert "this one came from <stdin>" in piped.stderr
    assert piped.stderr.count("Traceback") == 1


def test_an_unknown_keyword_is_an_error_that_names_the_nearest(model: SimCSE, tmp_path: Path) -> None:
    text = re.escape("encode() has no argument 'batchsize'; did you mean batch_size?")
    for call in (model.encode, model.encode_query, model.encode_document):
        with pytest.raises(TypeError, match=text):
            call(["a"], batchsize=2)
    with pytest.raises(TypeError, match=text):
        simcse_kit.encode(["a"], model, batchsize=2)
    with pytest.raises(TypeError, match=re.escape("encode() has no argument 'modle'; did you mean model?")):
        simcse_kit.encode(["a"], modle=model)
    with pytest.raises(TypeError, match=text):  # before a model is looked for
        simcse_kit.encode(["a"], "no/such/model", batchsize=2)
    with pytest.raises(
        TypeError, match=re.escape("encode_files() has no argument 'precison'; did you mean precision?")
    ):
        simcse_kit.encode_files(model, tmp_path / "in.txt", tmp_path / "out.npy", precison="int8")
    with pytest.raises(TypeError, match=re.escape("SimCSE() has no argument 'pooler'; did you mean pooling?")):
        SimCSE("no/such/model", pooler="cls")
