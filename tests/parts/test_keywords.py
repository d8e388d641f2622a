"""Unknown keywords: the error names the nearest known one."""

from __future__ import annotations

from typing import Any

import pytest

from simcse_kit.errors import TrainingError
from simcse_kit.parts import check_keywords, keywords_of


def encode(sentences: list[str], /, batch_size: int = 8, *, device: str = "cpu", **more: Any) -> None:
    """Positional only, either way, keyword only, open."""


def test_the_nearest_known_keyword_is_named() -> None:
    with pytest.raises(TypeError) as raised:
        check_keywords({"batchsize": 4}, ("batch_size", "device"), "encode", TypeError)
    assert str(raised.value) == "encode() has no argument 'batchsize'; did you mean batch_size?"
    with pytest.raises(TrainingError) as misspelled:
        check_keywords(["epochs", "learing_rate"], ("epochs", "learning_rate"), "train_unsup", TrainingError)
    assert str(misspelled.value) == "train_unsup() has no argument 'learing_rate'; did you mean learning_rate?"


def test_without_a_near_one_all_are_listed() -> None:
    with pytest.raises(TypeError) as raised:
        check_keywords({"zzz": 1}, ("device", "batch_size"), "encode", TypeError)
    assert str(raised.value) == "encode() has no argument 'zzz'; it takes batch_size, device"


def test_known_keywords_pass() -> None:
    check_keywords({}, (), "encode", TypeError)
    check_keywords({"device": "cpu"}, ("batch_size", "device"), "encode", TypeError)


def test_keywords_of_a_function_are_those_that_a_caller_can_name() -> None:
    assert keywords_of(encode) == ("batch_size", "device")

    class Model:
        def encode(self, sentences: list[str]) -> None: ...

    assert keywords_of(Model.encode) == ("sentences",)
