"""A sentence and the passage around it."""

from __future__ import annotations

from simcse_kit.data.passages import sentence_and_rest

TEXT = "The wing was tested in a tunnel. Lift fell at high speed. Drag rose with the angle of attack."


def test_a_sentence_is_not_in_its_passage() -> None:
    for seed in range(5):
        ((sentence, rest),) = sentence_and_rest([TEXT], seed)
        assert sentence in TEXT
        assert sentence not in rest
        assert sorted(f"{sentence} {rest}".split()) == sorted(TEXT.split())


def test_every_sentence_is_drawn_some_time() -> None:
    assert len({sentence_and_rest([TEXT], seed)[0][0] for seed in range(20)}) == 3


def test_texts_of_one_sentence_are_left_out() -> None:
    assert sentence_and_rest(["Only one sentence is here.", "No. Yes. Well."], 0) == []
    assert len(sentence_and_rest([TEXT, "Only one sentence is here."], 0)) == 1


def test_other_scripts_have_sentences() -> None:
    ((sentence, rest),) = sentence_and_rest(["यह एक छोटा वाक्य है। दूसरा वाक्य भी यहाँ है।"], 0)
    assert sentence.endswith("।")
    assert rest.endswith("।")
