"""``simcse-kit encode`` that is stopped by Ctrl-C."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.commands import run


@pytest.mark.parametrize(
    ("runner", "function"),
    [("local", "simcse_kit.encoding.bulk.encode.check_files"), ("ray", "simcse_kit.encoding.ray.encode_with_ray")],
)
def test_the_message_says_how_to_continue(
    runner: str, function: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*given: Any, **settings: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(function, stop)
    done = run("encode", "model", tmp_path / "texts.parquet", tmp_path / "vectors", "--runner", runner)
    assert done.returncode == 130
    assert "stopped; the same command continues" in done.stderr
    assert "Traceback" not in done.stderr
    assert ("each worker loads the model" in done.stderr) == (runner == "ray")
