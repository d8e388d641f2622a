"""Words of a text: codes can be found, every script gives words, and no character is syntax."""

from __future__ import annotations

import unicodedata

import pytest

from simcse_kit.search.words import split_words


@pytest.mark.parametrize("code", ["0x80070057", "ABC-123", "ABC_123", "v1.2.3", "2024-01-31", "C++", "C#", "a@b.org"])
def test_a_code_is_a_word_of_its_own_among_others(code: str) -> None:
    """The last word of a code is the whole code, also with punctuation around it."""
    whole = split_words(code)[-1]
    assert whole in split_words(f"see ({code}), please")
    assert whole not in split_words("see " + " ".join(split_words(code)[:-1] or ["else"]))


def test_parts_of_a_code_are_words_too() -> None:
    assert split_words("ABC-123") == ["abc", "123", "abc123"]
    assert split_words("1.2.3") == ["1", "2", "3", "1.2.3"]
    assert split_words("E-Mail")[-1] == split_words("email")[0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("STRASSE", "straße"),
        ("Café", "cafe"),
        ("ＡＢＣ１", "abc1"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        (unicodedata.normalize("NFD", "서울 naïve が"), "서울 naïve が"),
        ("ｶﾞ", "ガ"),
    ],
)
def test_case_accents_and_forms_of_the_same_letters_do_not_count(one: str, other: str) -> None:
    assert split_words(one) == split_words(other)


@pytest.mark.parametrize(
    ("one", "other"), [("か", "が"), ("は", "ぱ"), ("हिन्दी", "हन्दी"), ("ไม้", "ไมา"), ("1.2", "12")]
)
def test_other_letters_are_other_words(one: str, other: str) -> None:
    assert set(split_words(one)).isdisjoint(split_words(other)) or split_words(one)[-1] != split_words(other)[-1]


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("서울", "서울에서 부산까지"),
        ("東京", "明日、東京へ行く。"),
        ("猫", "黒猫が寝ている"),
        ("中国", "我爱中国人"),
        ("กิน", "ฉันกินข้าว"),
        ("हिन्दी", "मैं हिन्दी बोलता हूँ।"),
        ("iphone15", "iPhone15을 샀다"),
    ],
)
def test_a_query_in_any_script_shares_its_words_with_the_text_that_holds_it(query: str, text: str) -> None:
    assert split_words(query)
    assert set(split_words(query)) <= set(split_words(text, letters=True))


def test_a_longer_query_is_not_found_by_single_letters() -> None:
    assert split_words("東京") == ["東京"]
    assert split_words("東京", letters=True) == ["東京", "東", "京"]


@pytest.mark.parametrize("text", ["", " ", "!?", "—", "\x00", "🙂", '"*"'])
def test_what_holds_no_letter_has_no_word(text: str) -> None:
    assert split_words(text) == []


def test_operators_of_query_languages_are_plain_words() -> None:
    assert split_words('"the cat" AND NOT (dog* OR NEAR(a b, 2)) text:x ^y') == (
        ["the", "cat", "and", "not", "dog", "or", "near", "a", "neara", "b", "2", "text", "x", "textx", "y"]
    )
