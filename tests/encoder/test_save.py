"""A saved folder is the same model: here, in sentence-transformers, and in transformers if there is no head."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from simcse_kit import POOLERS, ModelError, SimCSE
from simcse_kit.files import DiskFullError
from support.plain import plain_vectors, unit

COVERING = [
    ("bert", "cls"),
    ("bert", "cls_before_pooler"),
    ("bert", "mean"),
    ("bert", "avg_top2"),
    ("bert", "avg_first_last"),
    ("bert", "max"),
    ("bert", "weighted_mean"),
    ("bert", "last_token"),
    ("roberta", "cls"),
    ("roberta", "avg_first_last"),
    ("distilbert", "mean"),
    ("distilbert", "avg_top2"),
    ("albert", "cls"),
    ("albert", "avg_top2"),
    ("mpnet", "cls"),
    ("mpnet", "mean"),
    ("deberta", "avg_first_last"),
    ("deberta", "weighted_mean"),
    ("modernbert", "cls_before_pooler"),
    ("modernbert", "avg_top2"),
    ("xlmr", "cls"),
    ("xlmr", "max"),
    ("gpt2", "last_token"),
    ("gpt2", "avg_first_last"),
    ("llama", "last_token"),
    ("llama", "weighted_mean"),
]
pytestmark = pytest.mark.filterwarnings("ignore::simcse_kit.Notice")


def in_sentence_transformers(folder: Path, texts: list[str], **arguments: Any) -> np.ndarray:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu", local_files_only=True).encode(texts, **arguments)


@pytest.mark.parametrize(("kind", "pooling"), COVERING)
def test_a_saved_model_is_the_same_everywhere(
    kind: str, pooling: str, tiny_model: Callable[[str], Path], sentences: list[str], tmp_path: Path
) -> None:
    model = SimCSE(tiny_model(kind), pooling=pooling, device="cpu")
    vectors = model.encode(sentences)
    model.save(tmp_path / "saved")
    loaded = SimCSE(tmp_path / "saved", device="cpu")
    assert loaded.pooling == pooling
    assert loaded.max_seq_length == model.max_seq_length
    np.testing.assert_array_equal(loaded.encode(sentences), vectors)
    assert loaded.fingerprint() == model.fingerprint()
    np.testing.assert_allclose(unit(in_sentence_transformers(tmp_path / "saved", sentences)), unit(vectors), atol=1e-5)
    if not POOLERS[pooling].head or kind in ("bert", "roberta", "xlmr", "albert", "mpnet"):
        np.testing.assert_allclose(
            unit(plain_vectors(tmp_path / "saved", pooling, sentences[:5])), unit(vectors[:5]), atol=1e-5
        )


def test_the_covering_list_covers_every_pooling_and_architecture() -> None:
    from support.tiny import KINDS

    assert {pooling for _, pooling in COVERING} == set(POOLERS) - {"mask"}  # tested in test_template.py
    assert {kind for kind, _ in COVERING} == set(KINDS)


def test_saving_again_changes_no_file_but_the_card(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    SimCSE(tiny_model("bert"), pooling="avg_top2", device="cpu").save(tmp_path / "one")
    SimCSE(tmp_path / "one", device="cpu").save(tmp_path / "two")
    one, two = ({p.relative_to(f): p.read_bytes() for p in f.rglob("*") if p.is_file()} for f in tmp_path.iterdir())
    assert one == two


def test_only_safetensors_are_written(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    SimCSE(tiny_model("bert"), pooling="cls", device="cpu").save(tmp_path / "m")
    assert {path.suffix for path in (tmp_path / "m").rglob("*") if path.is_file()} <= {".safetensors", ".json", ".md"}


def test_settings_are_kept(tiny_model: Callable[[str], Path], tmp_path: Path, sentences: list[str]) -> None:
    model = SimCSE(tiny_model("bert"), pooling="mean", device="cpu", max_seq_length=9)
    model.prompts["query"] = "where is "
    model.settings.default_prompt_name = "query"
    model.settings.truncate_dim = 20
    model.settings.include_prompt = False
    model.settings.similarity_fn_name = "dot"
    model.save(tmp_path / "m")
    loaded = SimCSE(tmp_path / "m", device="cpu")
    assert loaded.settings == model.settings
    assert loaded.get_embedding_dimension() == 20
    vectors = loaded.encode(sentences)
    assert vectors.shape == (len(sentences), 20)
    np.testing.assert_array_equal(vectors, model.encode(sentences))
    np.testing.assert_allclose(in_sentence_transformers(tmp_path / "m", sentences), vectors, atol=1e-5)
    assert loaded.fingerprint() == model.fingerprint()


def test_into_a_folder_that_exists(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    folder = tmp_path / "m"
    SimCSE(tiny_model("bert"), pooling="cls", device="cpu").save(folder)
    (folder / "notes.txt").write_text("mine")
    SimCSE(tiny_model("roberta"), pooling="mean", device="cpu").save(folder)
    assert (folder / "notes.txt").read_text() == "mine"
    assert SimCSE(folder, device="cpu").pooling == "mean"
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="is a file"):
        SimCSE(folder, device="cpu").save(tmp_path / "file")


def test_a_full_disk_leaves_the_model_that_was_there(
    tiny_model: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sentences: list[str]
) -> None:
    import safetensors.torch

    model = SimCSE(tiny_model("bert"), pooling="cls", device="cpu")
    model.save(tmp_path / "m")
    before = {path: path.read_bytes() for path in (tmp_path / "m").rglob("*") if path.is_file()}

    def full(*_: Any, **__: Any) -> None:
        raise safetensors.SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(DiskFullError, match="no space left"):
        model.save(tmp_path / "m")
    with pytest.raises(DiskFullError, match="no space left"):
        model.save(tmp_path / "new")
    assert {path: path.read_bytes() for path in (tmp_path / "m").rglob("*") if path.is_file()} == before
    assert not (tmp_path / "new").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_the_record_says_the_pooling(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    SimCSE(tiny_model("bert"), pooling="avg_first_last", device="cpu").save(tmp_path / "m")
    assert json.loads((tmp_path / "m" / "simcse_kit.json").read_text())["pooling"] == "avg_first_last"
    assert "`avg_first_last`" in (tmp_path / "m" / "README.md").read_text()


def test_deeper_backbones_keep_their_layer_pooling(tmp_path: Path, sentences: list[str]) -> None:
    """With two layers `avg_top2` and `avg_first_last` are the same; with four they differ in the saved weights."""
    from support.tiny import make_model

    base = make_model("bert", tmp_path / "base", num_hidden_layers=4)
    for pooling in ("avg_top2", "avg_first_last"):
        model = SimCSE(base, pooling=pooling, device="cpu")
        model.save(tmp_path / pooling)
        (tmp_path / pooling / "simcse_kit.json").unlink()
        loaded = SimCSE(tmp_path / pooling, device="cpu")
        assert loaded.pooling == pooling
        np.testing.assert_array_equal(loaded.encode(sentences), model.encode(sentences))
        np.testing.assert_allclose(
            unit(in_sentence_transformers(tmp_path / pooling, sentences)), unit(loaded.encode(sentences)), atol=1e-5
        )


def test_pushed_files_load(
    tiny_model: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sentences: list[str]
) -> None:
    import shutil

    from huggingface_hub import HfApi

    calls: list[tuple[str, Any]] = []

    def create_repo(self: HfApi, repo_id: str, *, private: bool | None, exist_ok: bool) -> str:
        calls.append((repo_id, private))
        return f"https://huggingface.co/{repo_id}"

    def upload_folder(self: HfApi, *, repo_id: str, folder_path: Path, commit_message: str) -> None:
        calls.append((repo_id, commit_message))
        shutil.copytree(folder_path, tmp_path / "hub")

    monkeypatch.setattr(HfApi, "create_repo", create_repo)
    monkeypatch.setattr(HfApi, "upload_folder", upload_folder)
    model = SimCSE(tiny_model("bert"), pooling="cls", device="cpu")
    assert model.push_to_hub("me/mine", private=True) == "https://huggingface.co/me/mine"
    assert calls == [("me/mine", True), ("me/mine", "Add a SimCSE sentence encoder")]
    card = (tmp_path / "hub" / "README.md").read_text()
    assert "library_name: sentence-transformers" in card
    assert "Pooling: `cls`" in card
    np.testing.assert_array_equal(SimCSE(tmp_path / "hub", device="cpu").encode(sentences), model.encode(sentences))


def test_a_minilm_save_is_the_same_model(minilm: SimCSE, tmp_path: Path, sentences: list[str]) -> None:
    minilm.save(tmp_path / "m")
    np.testing.assert_allclose(
        SimCSE(tmp_path / "m", device=minilm.device).encode(sentences), minilm.encode(sentences), atol=1e-6
    )
    assert SimCSE(tmp_path / "m").fingerprint() == minilm.fingerprint()
    np.testing.assert_allclose(in_sentence_transformers(tmp_path / "m", sentences), minilm.encode(sentences), atol=1e-5)


def test_torch_is_left_as_it_was(tiny_model: Callable[[str], Path], tmp_path: Path) -> None:
    """Saving and encoding work under a caller's no-grad and do not touch the random state."""
    model = SimCSE(tiny_model("bert"), pooling="cls", device="cpu")
    state = torch.get_rng_state()
    with torch.no_grad():
        model.encode(["The cat."])
        model.save(tmp_path / "m")
    assert torch.equal(state, torch.get_rng_state())


# Over another model


def test_nothing_of_the_model_before_is_left(
    tiny_model: Callable[[str], Path], sentences: list[str], tmp_path: Path
) -> None:
    """Another architecture, with a Dense and other tokenizer files; files that are not a model's stay."""
    target = tmp_path / "m"
    SimCSE(tiny_model("bert"), pooling="cls", device="cpu").save(target)
    others = {"run.json": "{}", "vocabulary.txt": "mine", "checkpoint-3/config.json": "{}", "2_Dense/notes.txt": "mine"}
    for name, text in others.items():
        (target / name).parent.mkdir(exist_ok=True)
        (target / name).write_text(text)
    (target / "vocab.txt").write_text("old")
    model = SimCSE(tiny_model("roberta"), pooling="mean", device="cpu")
    model.save(target)
    model.save(tmp_path / "alone")
    found = {path.relative_to(target).as_posix(): path.read_bytes() for path in target.rglob("*") if path.is_file()}
    for name, text in others.items():
        assert found.pop(name).decode() == text
    alone = tmp_path / "alone"
    assert found == {
        path.relative_to(alone).as_posix(): path.read_bytes() for path in alone.rglob("*") if path.is_file()
    }
    assert (SimCSE(target, device="cpu").encode(sentences) == model.encode(sentences)).all()


def test_a_load_completes_what_a_killed_writer_began(
    tiny_model: Callable[[str], Path], sentences: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without exchanging folders: the journal is in place, and half the files are not yet."""
    from simcse_kit.files import replacing

    target = tmp_path / "m"
    SimCSE(tiny_model("bert"), pooling="cls", device="cpu").save(target)
    model = SimCSE(tiny_model("roberta"), pooling="mean", device="cpu")

    def killed(*arguments: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(replacing, "_exchange_function", lambda: None)
        patch.setattr(replacing, "_place", killed)
        with pytest.raises(KeyboardInterrupt):
            model.save(target)
    assert list(target.glob(".placing-*"))
    assert (SimCSE(target, device="cpu").encode(sentences) == model.encode(sentences)).all()
    assert not list(target.glob(".*"))
    assert not (target / "2_Dense").exists()


def test_a_load_that_cannot_complete_is_an_error(
    tiny_model: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(folder: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("simcse_kit.encoder.hub.complete", denied)
    with pytest.raises(ModelError, match=r"a process ended while saving a model there.* Permission denied"):
        SimCSE(tiny_model("bert"), pooling="mean", device="cpu")


def test_two_that_save_at_once(tiny_model: Callable[[str], Path], sentences: list[str], tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    models = [
        SimCSE(tiny_model(kind), pooling=pool, device="cpu") for kind, pool in (("bert", "cls"), ("roberta", "mean"))
    ]
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda model: [model.save(tmp_path / "m") for _ in range(3)], models))
    found = SimCSE(tmp_path / "m", device="cpu").encode(sentences)
    assert any(np.array_equal(found, model.encode(sentences)) for model in models)
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
