"""Documents to sentences: splitting, dropping, and counts of all sentences."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from simcse_kit.data import read_sentences
from simcse_kit.data.prepare import SentenceCounts, corpus, duplicates, prepare_sentences
from simcse_kit.data.prepare.shingles import PERMUTATIONS, bands_for, jaccard, shingles
from simcse_kit.data.prepare.splitting import LONGEST, clean, split, split_lines
from simcse_kit.errors import DataError
from simcse_kit.files import DiskFullError

ARTICLE = """\
Dr. Smith came at 5 p.m. and paid $3.50
for his tea. Was it
good?

The U.S. Senate votes today
"""
ARTICLE_SENTENCES = [
    "Dr. Smith came at 5 p.m. and paid $3.50 for his tea.",
    "Was it good?",
    "The U.S. Senate votes today",
]


def written(output: Path) -> list[str]:
    return output.read_text(encoding="utf-8").splitlines()


def accounted(counts: SentenceCounts) -> bool:
    out = (counts.without_words, counts.too_short, counts.too_long, counts.duplicates, counts.near_duplicates)
    return counts.found == sum(out) + counts.written


def random_sentences(count: int, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 9))) for _ in range(3000)]
    return [" ".join(draw.choices(words, k=draw.randint(6, 20))).capitalize() + "." for _ in range(count)]


def test_wrapped_lines_are_joined_and_a_blank_line_ends_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "article.txt").write_text(ARTICLE, encoding="utf-8")
    counts = prepare_sentences(tmp_path / "article.txt", tmp_path / "out.txt")
    assert written(tmp_path / "out.txt") == ARTICLE_SENTENCES
    assert counts._asdict() | {"files": 1, "documents": 1, "found": 3, "written": 3} == counts._asdict()


def test_every_format_gives_the_sentences_of_the_text_file(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    (docs / "deep").mkdir(parents=True)
    (docs / "a.txt").write_text(ARTICLE, encoding="utf-8")
    (docs / "b.txt.gz").write_bytes(gzip.compress(ARTICLE.encode()))
    (docs / "c.jsonl").write_text(json.dumps({"id": 1, "text": ARTICLE}) + "\n", encoding="utf-8")
    (docs / "deep" / "d.jsonl.gz").write_bytes(gzip.compress(json.dumps(ARTICLE).encode()))
    pq.write_table(pa.table({"text": [ARTICLE], "vector": [[0.5, 1.0]]}), docs / "deep" / "e.parquet")
    (docs / "readme.md").write_text("Not a document.", encoding="utf-8")
    (docs / "empty.txt").write_text("", encoding="utf-8")
    (docs / ".hidden.txt").write_text("Nobody reads this one.", encoding="utf-8")
    for path in sorted(path for path in docs.rglob("[a-e].*")):
        prepare_sentences(path, tmp_path / "one.txt", overwrite=True)
        assert written(tmp_path / "one.txt") == ARTICLE_SENTENCES, path
    counts = prepare_sentences(docs, tmp_path / "all.txt")
    assert written(tmp_path / "all.txt") == ARTICLE_SENTENCES
    # five documents of three sentences: the first writes them, the other four repeat them
    assert (counts.files, counts.ignored_files, counts.empty_files, counts.documents) == (5, 1, 1, 5)
    assert (counts.found, counts.duplicates, counts.written) == (15, 12, 3)


def test_the_output_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    lines = random_sentences(300)
    (tmp_path / "in.txt").write_text("\n\n".join(lines), encoding="utf-8")
    prepare_sentences(tmp_path / "in.txt", tmp_path / "out.txt")
    assert read_sentences(tmp_path / "out.txt").column(0) == lines
    counts = prepare_sentences(tmp_path / "out.txt", tmp_path / "again.txt", line_paragraphs=True)
    assert (tmp_path / "again.txt").read_bytes() == (tmp_path / "out.txt").read_bytes()
    assert counts.found == counts.written == 300


def test_a_line_is_a_paragraph_where_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "titles.txt").write_text("The history of Rome\nRome was founded early. It grew.\n", encoding="utf-8")
    prepare_sentences(tmp_path / "titles.txt", tmp_path / "joined.txt", min_words=1)
    prepare_sentences(tmp_path / "titles.txt", tmp_path / "apart.txt", min_words=1, line_paragraphs=True)
    assert written(tmp_path / "joined.txt") == ["The history of Rome Rome was founded early.", "It grew."]
    assert written(tmp_path / "apart.txt") == ["The history of Rome", "Rome was founded early.", "It grew."]


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        (
            "en",
            ["I met J. K. Rowling at Apple Inc. in Ohio.", '"Is it late?" she asked.', "See Fig. 2 for 1,000.5 units!"],
        ),
        ("ko", ["안녕하세요.", "저는 서울에 삽니다.", "비가 오나요?", "값은 3.5달러입니다."]),
        ("ko", ["그는 2023. 5. 3. 에 왔다.", "1. 첫째 항목이다.", "2. 둘째 항목이다."]),
        (
            "ko",
            [
                '"정말 좋다."라고 그가 말했다.',
                '"왜 그래?" 하고 물었다.',
                "“갈게!”라며 나갔다.",
                '"안녕."',
                "그는 갔다.",
            ],
        ),
        ("de", ["Das ist z. B. gut.", "Am 3. Mai kam Dr. Müller."]),
    ],
)
def test_sentences_of_a_language(language: str, expected: list[str]) -> None:
    assert split(" ".join(expected), language) == expected


def test_languages_without_spaces_join_lines_without_one_and_count_characters(tmp_path: Path) -> None:
    (tmp_path / "zh.txt").write_text("今天下雨，我们不\n出去。好！你明天来吗，朋友？", encoding="utf-8")
    counts = prepare_sentences(tmp_path / "zh.txt", tmp_path / "out.txt", language="zh")
    assert written(tmp_path / "out.txt") == ["今天下雨，我们不出去。", "你明天来吗，朋友？"]
    assert counts.too_short == 1  # 好！ has 2 characters; the minimum is 6


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("cafe\u0301", "café"),
        ("\u1112\u1161\u11ab", "한"),  # Korean letters one by one
        (" a\t\u00a0 b\u3000c\u2028d ", "a b c d"),
        ("so\u00adft zero\u200bwidth \x07bell\ufeff", "soft zerowidth bell"),
        ("می\u200cخواهم", "می\u200cخواهم"),  # Persian needs its non-joiner
    ],
)
def test_clean(raw: str, cleaned: str) -> None:
    assert clean(raw) == cleaned
    assert clean(cleaned) == cleaned


def test_a_text_without_blank_lines_is_split_as_if_it_were_one_piece() -> None:
    lines = [line.replace(".", "") if i % 3 else line for i, line in enumerate(random_sentences(4000))]
    text = " ".join(lines)
    assert len(text) > 4 * LONGEST
    assert list(split_lines(lines, "en")) == split(text, "en")


def test_a_text_without_any_sentence_end_is_not_held() -> None:
    lines = ["word " * 20] * 3000  # 300,000 characters
    pieces = list(split_lines(lines, "en"))
    assert all(len(piece) < LONGEST + 200 for piece in pieces)
    assert " ".join(pieces).split() == ["word"] * 60_000


def test_what_is_dropped_is_counted_by_reason(tmp_path: Path) -> None:
    lines = [
        "One two three four.",
        "Two words.",  # too short
        "One two three four five six seven.",  # too long
        "*** --- *** ---",  # no words
        "One two three four.",  # the same
        "ONE two three - four!",  # the same but for case and marks
        "One two three five.",
    ]
    (tmp_path / "in.txt").write_text("\n".join(lines), encoding="utf-8")
    counts = prepare_sentences(
        tmp_path / "in.txt", tmp_path / "out.txt", min_words=3, max_words=6, line_paragraphs=True
    )
    assert counts[6:] == (7, 1, 1, 1, 1, 1, 2)
    assert accounted(counts)
    assert written(tmp_path / "out.txt") == ["One two three four.", "One two three five."]
    counts = prepare_sentences(
        tmp_path / "in.txt", tmp_path / "all.txt", min_words=3, max_words=6, line_paragraphs=True, near_duplicates=0
    )
    assert counts.near_duplicates == 0
    assert counts.written == 3
    counts = prepare_sentences(
        tmp_path / "in.txt", tmp_path / "chars.txt", min_chars=18, max_chars=19, line_paragraphs=True
    )
    assert counts.found == counts.too_short + counts.too_long + counts.without_words + counts.duplicates + 2


def test_jaccard_by_hand() -> None:
    # " rain " has " ra", "rai", "ain", "in "; " rains " has " ra", "rai", "ain", "ins", "ns ": 3 shared of 6
    assert jaccard(shingles("Rain."), shingles("rains")) == pytest.approx(3 / 6)


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.9, 0.95, 1.0])
def test_bands_miss_at_most_one_in_a_hundred(threshold: float) -> None:
    bands, rows = bands_for(threshold)
    assert bands * rows <= PERMUTATIONS
    assert (1 - threshold**rows) ** bands <= 0.01


def variants(count: int) -> list[str]:
    """Sentences, and each again with a few letters changed: similarities from 0.3 to 1."""
    draw = random.Random(3)
    lines = []
    for sentence in random_sentences(count, seed=1):
        lines.append(sentence)
        letters = list(sentence)
        for _ in range(draw.randint(0, 6)):
            letters[draw.randrange(1, len(letters) - 1)] = draw.choice("abcdef")
        lines.append("".join(letters))
    draw.shuffle(lines)
    return list(dict.fromkeys(lines))


def near_by_loop(lines: Sequence[str], threshold: float) -> set[tuple[int, int]]:
    sets = [shingles(line) for line in lines]
    return {(i, j) for i, j in combinations(range(len(lines)), 2) if jaccard(sets[i], sets[j]) >= threshold}


@pytest.mark.parametrize("threshold", [0.6, 0.8, 0.9])
def test_near_duplicates_are_those_of_a_loop_over_all_pairs(tmp_path: Path, threshold: float) -> None:
    lines = variants(250)
    pairs = near_by_loop(lines, threshold)
    assert len(pairs) > 40
    encoded = iter([line.encode() + b"\n" for line in lines])
    _, dropped = duplicates.nearly_repeated(encoded, tmp_path, threshold=threshold, on_rows=lambda _: None)
    near_an_earlier = {j for _, j in pairs}
    gone = {row for row, out in enumerate(dropped) if out}
    assert gone <= near_an_earlier  # none below the threshold is dropped
    assert len(gone) >= 0.99 * len(near_an_earlier)  # and above it nearly all


def test_a_bucket_of_hundreds_keeps_what_is_not_near(tmp_path: Path) -> None:
    lines = ["The price of share number one rose."] + [f"Item {i:05d} is out of stock today." for i in range(400)]
    encoded = iter([line.encode() + b"\n" for line in lines])
    _, dropped = duplicates.nearly_repeated(encoded, tmp_path, threshold=0.9, on_rows=lambda _: None)
    near = {j for _, j in near_by_loop(lines, 0.9)}
    assert {row for row, out in enumerate(dropped) if out} <= near


def test_parts_and_chunks_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = variants(300)
    (tmp_path / "in.txt").write_text("\n".join(lines + lines[:50]), encoding="utf-8")
    whole = prepare_sentences(tmp_path / "in.txt", tmp_path / "whole.txt", line_paragraphs=True)
    monkeypatch.setattr(duplicates, "PART", 100)
    monkeypatch.setattr(duplicates, "CHUNK", 37)
    monkeypatch.setattr(duplicates, "BATCH", 11)
    parts = prepare_sentences(tmp_path / "in.txt", tmp_path / "parts.txt", line_paragraphs=True)
    assert parts == whole
    assert whole.duplicates == 50
    assert (tmp_path / "parts.txt").read_bytes() == (tmp_path / "whole.txt").read_bytes()


MEASURED = """
import sys
from pathlib import Path
from simcse_kit.data.prepare import duplicates, prepare_sentences
duplicates.PART, duplicates.CHUNK = 1 << 14, 1 << 14  # of the size that millions of sentences have to the default
prepare_sentences(sys.argv[1], sys.argv[2])
print(next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
def test_memory_does_not_grow_with_the_text(tmp_path: Path) -> None:
    def peak_mib(megabytes: int) -> float:
        """Of a process that prepares so much text, a tenth of it repeated, without a single blank line."""
        path = tmp_path / f"{megabytes}.txt"
        lines = random_sentences(megabytes * 9_000, seed=megabytes)  # about 110 bytes each
        path.write_text("\n".join(lines + lines[::10]), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, str(path), str(tmp_path / f"{megabytes}.out.txt")],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"RAYON_NUM_THREADS": "1"},
        )
        return int(done.stdout) / 1024

    assert peak_mib(16) - peak_mib(2) < 10  # a set of the sentences alone would add over 20


def test_a_full_disk_is_an_error_with_a_name_and_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in.txt").write_text(ARTICLE, encoding="utf-8")
    (tmp_path / "out.txt").write_text("before\n", encoding="utf-8")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(corpus, "nearly_repeated", full)
    with pytest.raises(DiskFullError, match=r"out\.txt"):
        prepare_sentences(tmp_path / "in.txt", tmp_path / "out.txt", overwrite=True)
    assert written(tmp_path / "out.txt") == ["before"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.txt", "out.txt"]


def test_bad_utf8_names_file_and_line_or_is_skipped_without_joining_across(tmp_path: Path) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(b"The first line goes\non here \xff and\nends here now.\n")
    with pytest.raises(DataError, match=r"bad\.txt, line 2: invalid UTF-8: byte 0xff"):
        prepare_sentences(path, tmp_path / "out.txt")
    assert not (tmp_path / "out.txt").exists()
    counts = prepare_sentences(path, tmp_path / "out.txt", skip_bad_rows=True)
    assert counts.bad_rows == 1
    assert written(tmp_path / "out.txt") == ["The first line goes", "ends here now."]


def test_the_column_is_the_one_named(tmp_path: Path) -> None:
    path = tmp_path / "docs.jsonl"
    path.write_text('{"title": "A title of it.", "body": "The body of it."}\n{"title": "", "body": ""}\n', "utf-8")
    with pytest.raises(DataError, match=r"found the columns title, body.*--column"):
        prepare_sentences(path, tmp_path / "out.txt")
    counts = prepare_sentences(path, tmp_path / "out.txt", column="body")
    assert (counts.documents, counts.empty_documents) == (1, 1)
    assert written(tmp_path / "out.txt") == ["The body of it."]


def test_what_cannot_be_meant_is_said_before_any_work(tmp_path: Path) -> None:
    source = tmp_path / "in.txt"
    source.write_text(ARTICLE, encoding="utf-8")
    out = tmp_path / "out.txt"
    with pytest.raises(DataError, match="did you mean"):
        prepare_sentences([source, tmp_path / "inn.txt"], out)
    with pytest.raises(DataError, match="also an input"):
        prepare_sentences(source, source, overwrite=True)
    with pytest.raises(DataError, match=r"must end in \.txt"):
        prepare_sentences(source, tmp_path / "out.csv")
    with pytest.raises(DataError, match="ISO 639"):
        prepare_sentences(source, out, language="English")
    with pytest.raises(DataError, match=r"from 0\.5 to 1; got 0\.2"):
        prepare_sentences(source, out, near_duplicates=0.2)
    with pytest.raises(DataError, match=r"--min-words\) 5 is larger than max_words \(--max-words\) 4"):
        prepare_sentences(source, out, min_words=5, max_words=4)
    out.write_text("before", encoding="utf-8")
    with pytest.raises(DataError, match="--overwrite"):
        prepare_sentences(source, out)
    assert out.read_text(encoding="utf-8") == "before"


def test_nothing_to_read_and_nothing_left_are_errors(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "notes.md").write_text("Text", encoding="utf-8")
    (tmp_path / "docs" / "empty.txt").touch()
    with pytest.raises(DataError, match="1 empty and 1 other files"):
        prepare_sentences(tmp_path / "docs", tmp_path / "out.txt")
    (tmp_path / "short.txt").write_text("Too short.\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"no sentence is left of 1 found; .*too short: 1"):
        prepare_sentences(tmp_path / "short.txt", tmp_path / "out.txt")
    assert not (tmp_path / "out.txt").exists()
