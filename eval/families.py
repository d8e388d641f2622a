"""What works with which encoder family, on random two-layer models: python eval/families.py

Seven things are tried on each: load, encode alone as in a batch, save and read again, train two steps, bfloat16,
OpenVINO, ONNX. ``--only bert fnet`` tries some and leaves the others' lines as they were. Writes results/families.json.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from lib.family_models import DECODERS, FAMILIES, make
from lib.record import has, load, write_result

from simcse_kit import SimCSE, export_model, train_unsup
from simcse_kit.data.sample import sample_sentences
from simcse_kit.errors import TrainingError

_SAME = 1e-4  # greatest difference of two vectors' numbers
_NEAR = 0.98  # lowest cosine
_COLOUR = re.compile(r"\x1b?\[\d*m")


def main() -> None:
    """Try everything on every family, or on those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=FAMILIES, default=list(FAMILIES), metavar="FAMILY")
    lines = load("families")["families"] if has("families") else {}
    for family in parser.parse_args().only:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["XDG_CACHE_HOME"] = folder  # nothing of a former run counts
            lines[family] = tried(family, Path(folder))
        print(family, lines[family], flush=True)
        write_result("families", {"families": {name: lines[name] for name in FAMILIES if name in lines}})


def tried(family: str, folder: Path) -> dict[str, str]:
    """What came of each try: yes, yes with a condition, or no with the reason."""
    texts = sample_sentences()[:40]
    pooling = "last_token" if family in DECODERS else "mean"
    made = make(family, folder / "made", texts)
    found: dict[str, str] = {}

    def note(name: str, attempt: Callable[[], str]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found[name] = attempt()
            except Exception as error:
                lines = _COLOUR.sub("", str(error).strip() or type(error).__name__).splitlines()
                reason = lines[0].partition(" This is step")[0].replace(str(folder / "made"), family)
                found[name] = "no: " + reason[:200]

    def model(**settings: Any) -> SimCSE:
        return SimCSE(made, pooling=pooling, **{"device": "cpu"} | settings)

    def alone() -> str:
        one = model()
        same = _same(one.encode(texts), np.stack([one.encode(text) for text in texts]))
        return ("yes" if one.encoder.pads else "by length") if same else "no"

    def saved() -> str:
        model().save(folder / "saved")
        return "yes" if _same(SimCSE(folder / "saved", device="cpu").encode(texts), model().encode(texts)) else "no"

    def trained() -> str:
        run, how = folder / "run", "yes"
        settings: dict[str, Any] = {"model": str(made), "pooling": pooling, "batch_size": 8, "device": "cpu"}
        try:
            train_unsup(texts[:16], run, **settings)
        except TrainingError as error:
            if "--dropout" not in str(error):
                raise
            train_unsup(texts[:16], run, dropout=0.1, **settings)  # its config has none
            how = "yes, --dropout 0.1"
        vectors = SimCSE(run, device="cpu").encode(texts)
        return how if np.isfinite(vectors).all() and not _same(vectors, model().encode(texts)) else "no"

    def half() -> str:
        one = model(dtype="bfloat16")
        near = _lowest(one.encode(texts), model().encode(texts)) > _NEAR
        return ("yes" if one.backend.dtype == "bfloat16" else "in float32") if near else "no"

    def openvino() -> str:
        return "yes" if _same(model(backend="openvino").encode(texts), model().encode(texts)) else "no"

    def onnx() -> str:
        lowest = export_model(model(), folder / "onnx", to="onnx").lowest_cosine
        return "yes" if lowest is not None and lowest > 1 - _SAME else "no"

    note("load", lambda: f"yes, {model().max_seq_length} tokens" if model().max_seq_length else "yes")
    for name, attempt in (
        ("alone = in a batch", alone),
        ("save, read again", saved),
        ("train", trained),
        ("bfloat16", half),
        ("OpenVINO", openvino),
        ("ONNX", onnx),
    ):
        note(name, attempt)
    return found


def _same(one: Any, other: Any) -> bool:
    return bool(np.abs(np.asarray(one) - np.asarray(other)).max() < _SAME)


def _lowest(one: Any, other: Any) -> float:
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(((one * other).sum(1) / norms).min())


if __name__ == "__main__":
    main()
