"""One call of `encode`, piece by piece, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from simcse_kit.encoder.call import DOCUMENT, QUERY, as_asked, prompt_of, with_prompt
from simcse_kit.encoder.settings import Settings

PROMPTS = Settings(prompts={"passage": "p: ", "corpus": "c: "}, default_prompt_name="corpus")
AS_ARRAY = {"precision": "float32", "numpy": True, "tensor": False}


def test_vectors_are_cut_before_they_are_scaled() -> None:
    cut = as_asked(torch.tensor([[3.0, 4.0, 12.0]]), truncate_dim=2, normalize=True, **AS_ARRAY)
    np.testing.assert_allclose(cut, [[0.6, 0.8]], rtol=1e-6)
    whole = as_asked(torch.tensor([[3.0, 4.0, 12.0]]), truncate_dim=None, normalize=True, **AS_ARRAY)
    np.testing.assert_allclose(whole, [[3 / 13, 4 / 13, 12 / 13]], rtol=1e-6)


def test_the_form_is_the_one_asked_for() -> None:
    vectors = torch.tensor([[1.0, -1.0] * 4])
    bits = as_asked(vectors, truncate_dim=None, normalize=False, precision="ubinary", numpy=True, tensor=False)
    np.testing.assert_array_equal(bits, [[0b10101010]])
    listed = as_asked(vectors, truncate_dim=None, normalize=False, precision="float32", numpy=False, tensor=False)
    assert isinstance(listed, list)
    assert torch.equal(listed[0], vectors[0])
    tensor = as_asked(vectors, truncate_dim=None, normalize=False, precision="float32", numpy=True, tensor=True)
    assert tensor is vectors


def test_a_given_prompt_goes_before_its_name_and_that_before_the_default() -> None:
    assert prompt_of(PROMPTS, "own: ", "passage") == "own: "
    assert prompt_of(PROMPTS, None, "passage") == "p: "
    assert prompt_of(PROMPTS, None, None) == "c: "
    assert prompt_of(Settings(), None, None) == ""
    with pytest.raises(ValueError, match="one of passage, corpus; got 'query'"):
        prompt_of(PROMPTS, None, "query")


def test_queries_and_documents_get_the_first_prompt_that_is_there_unless_one_is_given() -> None:
    assert with_prompt(PROMPTS, DOCUMENT, {"batch_size": 2}) == {"batch_size": 2, "prompt_name": "passage"}
    assert with_prompt(PROMPTS, QUERY, {"batch_size": 2}) == {"batch_size": 2}
    assert with_prompt(PROMPTS, DOCUMENT, {"prompt": "own: "}) == {"prompt": "own: "}
    assert with_prompt(PROMPTS, DOCUMENT, {"prompt_name": "corpus"}) == {"prompt_name": "corpus"}
