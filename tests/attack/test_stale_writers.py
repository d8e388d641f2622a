"""Writers, rebuilds and restored backups of one folder in any order: a commit replaces the opened commit, or fails."""

from __future__ import annotations

import random
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from simcse_kit import IndexChangedError, SearchIndexError
from simcse_kit.search import Collection
from simcse_kit.search.store import read_manifest

pytestmark = pytest.mark.slow
STEPS = 400


def vectors(count: int, draw: random.Random) -> np.ndarray:
    return np.random.default_rng(draw.getrandbits(32)).normal(size=(count, 6)).astype(np.float32)


class Story:
    """One folder, the content of each of its commits, and writers that may be stale."""

    def __init__(self, place: Path, seed: int) -> None:
        self.folder, self.backup, self.draw = place / "i", place / "backup", random.Random(seed)
        self.texts: dict[str, list[str]] = {}  # of each commit, by its id
        self.writers: list[Collection] = []
        self.refused = self.committed = 0
        self.rebuild()

    def commit_there(self) -> str | None:
        return read_manifest(self.folder).commit if (self.folder / "manifest.json").exists() else None

    def content(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.folder.iterdir()} if self.folder.exists() else {}

    def note(self, collection: Collection) -> None:
        commit = self.commit_there()
        assert commit is not None
        assert commit not in self.texts, "two commits have one id"
        self.texts[commit] = [row.text for row, _ in collection.rows()]

    def rebuild(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        made = Collection(6)
        count = self.draw.randint(1, 30)
        made.add([f"build {self.draw.random()}" for _ in range(count)], vectors(count, self.draw))
        made.save(self.folder)
        self.note(made)

    def back_up(self) -> None:
        shutil.rmtree(self.backup, ignore_errors=True)
        if self.folder.exists():
            shutil.copytree(self.folder, self.backup)

    def restore(self) -> None:
        """Restore the backup: into an empty folder, or over the present files."""
        if self.backup.exists():
            if self.draw.random() < 0.5:
                shutil.rmtree(self.folder, ignore_errors=True)
            shutil.copytree(self.backup, self.folder, dirs_exist_ok=True)

    def take_away(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def open(self) -> None:
        if self.commit_there() is not None:
            self.writers = [*self.writers[-4:], Collection.open(self.folder)]

    def refresh(self) -> None:
        if self.writers:
            writer = self.draw.choice(self.writers)
            try:
                writer.refresh(discard=self.draw.random() < 0.5)
            except IndexChangedError:
                assert self.commit_there() is None

    def write(self) -> None:
        """Change the index and commit; a writer with an older commit must fail."""
        if not self.writers:
            return
        writer = self.draw.choice([*self.writers, *5 * self.writers[-1:]])  # the last one may be fresh
        fresh = writer._snapshot.commit == self.commit_there()
        before = self.content()
        kind = self.draw.choice(["add", "delete", "compact"])
        if kind == "delete" and len(writer):
            writer.delete([self.draw.choice([row.id for row, _ in writer.rows()])])
        elif kind != "compact":
            writer.add([f"text {self.draw.random()}"], vectors(1, self.draw))
        if not fresh:
            with pytest.raises(IndexChangedError):
                writer.compact() if kind == "compact" else writer.save()
            assert self.content() == before
            self.refused += 1
        elif kind == "compact":
            expected = [row.text for row, _ in writer.rows()]
            writer.save()
            if self.commit_there() not in self.texts:
                self.note(writer)
            writer.compact()
            self.note(writer)
            assert self.texts[str(self.commit_there())] == expected
        else:
            writer.save()
            self.note(writer)
            self.committed += 1


@pytest.mark.parametrize("seed", range(5))
def test_no_commit_is_made_over_another(seed: int, tmp_path: Path) -> None:
    story = Story(tmp_path, seed)
    steps = [story.open, story.write, story.write, story.write, story.refresh, story.back_up, story.restore]
    for number in range(STEPS):
        story.draw.choice([*steps * 4, story.rebuild, story.take_away])()
        commit = story.commit_there()
        if commit is None:
            continue
        index = Collection.open(story.folder)
        assert [row.text for row, _ in index.rows()] == story.texts[commit], f"step {number}"
        if number % 10 == 0:
            index.verify()
    assert min(story.refused, story.committed) >= 10


def test_a_reader_of_an_index_that_is_rebuilt_all_the_time(tmp_path: Path) -> None:
    """Each answer comes from one build, and from the model of the query's vectors; otherwise it is an error."""
    texts = [f"text {i}" for i in range(50)]
    stop = threading.Event()

    def build(number: int) -> Collection:
        made = Collection(6)
        made.model = {"fingerprint": f"model {number % 3}"}
        made.add([f"{text} of build {number}" for text in texts], vectors(50, random.Random(number % 3)))
        return made

    def rebuild() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            shutil.rmtree(tmp_path / "i")
            build(number).save(tmp_path / "i")

    build(0).save(tmp_path / "i")
    queries = [vectors(50, random.Random(number)) for number in range(3)]
    thread = threading.Thread(target=rebuild)
    reader = Collection.open(tmp_path / "i")
    thread.start()
    right = errors = 0
    try:
        for number in range(3000):
            model = number // 2 % 3
            try:
                if number % 7 == 0:
                    reader = Collection.open(tmp_path / "i")
                if number % 2:
                    reader.refresh()
                hits = reader.search(queries[model], 1, fingerprint=f"model {model}")
            except SearchIndexError:
                errors += 1
                continue
            found = [hit.text for (hit,) in hits]
            (build_of,) = {int(text.rpartition(" ")[2]) for text in found}
            assert build_of % 3 == model
            assert found == [f"{text} of build {build_of}" for text in texts]
            right += 1
    finally:
        stop.set()
        thread.join()
    assert right > 30
    assert errors > 30
