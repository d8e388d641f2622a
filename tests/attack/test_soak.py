"""Two minutes of every kind of request: the server's memory stays where it is."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from simcse_kit import SentenceIndex
from support.scripts import load_script
from support.server import running

SECONDS = 120
SCRIPT = Path(__file__).parents[2] / "eval" / "soak.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script(SCRIPT, "soak")


@pytest.mark.slow
def test_memory_stays_where_it_is(script: ModuleType, model_folder: Path, sentences: list[str], tmp_path: Path) -> None:
    texts = [f"{sentence} {number}" for number in range(25) for sentence in sentences]
    metadata = [{"n": number} for number in range(len(texts))]
    SentenceIndex.build(model_folder, texts, metadata=metadata).save(tmp_path / "index")
    with running(str(tmp_path / "index"), "--port", "0", "--writable") as server:
        found = script.soak(server.url, server.process.pid, texts, "model", SECONDS)
    assert set(found.statuses) <= {"200", "202", "404", "422", "429"}
    assert sum(found.statuses.values()) > 500
    assert found.growth < 0.02, found.mib[:: len(found.mib) // 20]


@pytest.mark.parametrize(("mib", "growth"), [([1, 5, 9, 9, 10, 10, 10, 10, 10, 11], 0.1), ([8] * 10, 0.0)])
def test_growth_is_that_of_the_second_half(script: ModuleType, mib: list[float], growth: float) -> None:
    assert script.Soak(mib, {}).growth == pytest.approx(growth)
