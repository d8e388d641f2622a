"""SimCLR on images: views, features, probes, and its data sets."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("kornia", reason="the extra images is not installed")

EXAMPLES = Path(__file__).parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))

from simclr.images import held_out, load_images
from simclr.probing import labelled_rows, linear_probe
from simclr.training import Settings, new_model, train
from simclr.views import augmentations, enlarged, two_views

from simcse_kit import DataError, TrainingError, nt_xent

SMALL = Settings(widths=(8, 16), epochs=3, batch_size=64)


def test_the_held_out_digits_are_a_third_and_nobody_trains_on_them() -> None:
    data = load_images("digits")
    assert len(data.train.labels) + len(data.test.labels) == 1797
    assert len(data.test.labels) == 599
    rows = {tuple(image.flatten().tolist()) for image in data.train.pixels}
    assert not any(tuple(image.flatten().tolist()) in rows for image in data.test.pixels)
    again = load_images("digits")
    assert torch.equal(again.test.pixels, data.test.pixels)
    shares = np.bincount(data.test.labels) / np.bincount(data.train.labels)
    assert np.allclose(shares, 0.5, atol=0.02)  # of every class
    assert not data.flip
    for limit in (10, 100, 1195):
        few = load_images("digits", limit=limit).train.labels
        assert len(few) == limit
        assert len(set(few.tolist())) == 10
    with pytest.raises(DataError, match="limit must be at least 10, one image per class"):
        load_images("digits", limit=5)


def test_two_views_are_two_and_a_mirrored_one_only_where_that_is_the_same_thing() -> None:
    torch.manual_seed(0)
    pixels = enlarged(load_images("digits").train.pixels[:16], 32)
    first, second = two_views(pixels, augmentations(32, 1, flip=False))
    assert first.shape == second.shape == pixels.shape
    assert not torch.equal(first, second)
    near = torch.nn.functional.cosine_similarity(first.flatten(1), second.flatten(1))
    far = torch.nn.functional.cosine_similarity(first.flatten(1), second.roll(1, 0).flatten(1))
    assert near.mean() > far.mean()  # the image is in both
    kinds = [[type(part).__name__ for part in augmentations(32, 3, flip=flip)] for flip in (False, True)]
    assert set(kinds[1]) - set(kinds[0]) == {"RandomHorizontalFlip"}


def test_training_lowers_the_loss_and_features_do_not_hang_on_the_batch() -> None:
    images = load_images("digits", limit=200).train
    trained = train(images, SMALL, seed=1, flip=False)
    assert trained.steps == 9
    assert trained.losses[-1] < trained.losses[0]
    assert trained.losses == train(images, SMALL, seed=1, flip=False).losses
    h, z = trained.model.features(images)
    assert h.shape == z.shape == (200, 16)
    np.testing.assert_allclose(trained.model.features(images, batch_size=7)[0], h, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(trained.model.g(torch.from_numpy(h)), torch.from_numpy(z), atol=1e-5, rtol=1e-5)


def test_a_first_loss_is_near_that_of_chance() -> None:
    images = load_images("digits", limit=64).train
    model = new_model(images, SMALL, seed=0).eval()
    with torch.no_grad():
        z = model(enlarged(images.pixels, 32))
    loss = nt_xent(z, z[torch.randperm(64, generator=torch.Generator().manual_seed(0))], temperature=10.0)
    assert loss.item() == pytest.approx(np.log(2 * 64 - 1), abs=0.1)


def test_a_probe_reads_what_is_there_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    labels, test_labels = np.arange(60) % 3, np.arange(300) % 3
    middles = 10 * np.eye(3)
    train_rows, test_rows = (middles[own] + rng.normal(size=(len(own), 3)) for own in (labels, test_labels))
    assert linear_probe(train_rows, labels, test_rows, test_labels) == 100
    noise = [rng.normal(size=(len(own), 3)) for own in (labels, test_labels)]
    assert linear_probe(noise[0], labels, noise[1], test_labels) == pytest.approx(100 / 3, abs=10)
    with pytest.raises(DataError, match="at least two labelled images per class"):
        linear_probe(train_rows[:3], labels[:3], test_rows, test_labels)


def test_so_many_labels_of_each_class_and_others_for_another_seed() -> None:
    labels = np.repeat([0, 1, 2], [50, 20, 4])
    rows = labelled_rows(labels, 10, 1)
    assert np.bincount(labels[rows]).tolist() == [10, 10, 4]
    assert len(set(rows.tolist())) == len(rows)
    assert set(rows.tolist()) != set(labelled_rows(labels, 10, 2).tolist())


def write_images(folder: Path, counts: dict[str, int]) -> Path:
    from PIL import Image

    rng = np.random.default_rng(0)
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(rng.integers(0, 255, (20, 30, 3), dtype=np.uint8)).save(folder / name / f"{i}.png")
    return folder


def test_a_folder_of_images(tmp_path: Path) -> None:
    data = load_images(str(write_images(tmp_path / "photos", {"cat": 6, "dog": 9})), size=16)
    assert data.classes == ("cat", "dog")
    assert data.train.pixels.shape == (10, 3, 16, 16)
    assert np.bincount(data.test.labels).tolist() == [2, 3]
    assert data.flip
    assert held_out(data.train, 0.5)[0].pixels.shape[1:] == (3, 16, 16)
    (tmp_path / "photos" / "cat" / "broken.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"broken\.png: cannot read this image"):
        load_images(str(tmp_path / "photos"))
    with pytest.raises(DataError, match="at least two folders with at least three images each; found cat: 2"):
        load_images(str(write_images(tmp_path / "few", {"cat": 2})))
    with pytest.raises(DataError, match="no such folder"):
        load_images(str(tmp_path / "nothing"))


def test_a_data_set_of_the_hub(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_images(tmp_path / "set" / split, {"cat": 4, "dog": 4})
    data = load_images(f"hf:{tmp_path / 'set'}", size=8)
    assert (data.classes, data.train.pixels.shape, data.test.pixels.shape) == (
        ("cat", "dog"),
        (8, 3, 8, 8),
        (8, 3, 8, 8),
    )


def test_a_data_set_that_cannot_be_loaded_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(name: str) -> None:
        raise ConnectionError(f"Couldn't reach {name!r} on the Hub (LocalEntryNotFoundError)\nmore")

    monkeypatch.setattr("datasets.load_dataset", offline)
    with pytest.raises(
        DataError, match=r"^hf:cifar10: cannot load this .* \(Couldn't reach .*\); check its name and[^\n]+$"
    ):
        load_images("hf:cifar10")


def test_a_smoke_run_takes_the_epochs_that_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["simclr_images.py", "--smoke", "--epochs", "0"])
    with pytest.raises(SystemExit, match=r"^error: .*epochs at least 1"):
        runpy.run_path(str(EXAMPLES / "simclr_images.py"), run_name="__main__")


def test_settings_that_cannot_be() -> None:
    with pytest.raises(TrainingError, match="temperature must be above 0"):
        Settings(temperature=0)


@pytest.mark.slow
def test_the_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["simclr_images.py", "--smoke", "--seeds", "1", "2", *arguments])
        runpy.run_path(str(EXAMPLES / "simclr_images.py"), run_name="__main__")

    monkeypatch.chdir(tmp_path)
    run()
    printed = capsys.readouterr().out
    for name in ("raw pixels", "untrained encoder", "h, before the head", "z, after the head", "10 labels per class"):
        assert name in printed
    assert (tmp_path / "simclr_images.png").stat().st_size > 10_000
    with pytest.raises(SystemExit, match=r"^error: nothing: no such folder"):  # a text is status 1 and a line
        run("--dataset", "nothing")
