"""A model in the form that each peer of speed_encode.py reads, written once before the timing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from simcse_kit import SimCSE

INT8_FILE = "model_int8.onnx"  # beside the float32 graph
_WHERE = "import sysconfig; print(sysconfig.get_path('purelib'))"
_CONVERT = """
import sys
sys.path.append(sys.argv[1])  # after the project's own packages, whose torch and transformers read the model
from ctranslate2.converters import TransformersConverter
TransformersConverter(sys.argv[2]).convert(sys.argv[3], force=True)
"""


def write_onnx(model: str, folder: Path) -> str:
    """The graph that `simcse-kit export --to onnx` writes, and one by dynamic quantization; returns the folder."""
    from onnxruntime.quantization import quantize_dynamic

    from simcse_kit.encoding.export import onnx

    loaded = SimCSE(model, device="cpu")
    loaded.save(folder)
    onnx.write_onnx(loaded, folder / "onnx/model.onnx")
    quantize_dynamic(folder / "onnx/model.onnx", folder / "onnx" / INT8_FILE)
    return str(folder)


def write_ctranslate2(model: str, folder: Path, python: str) -> str | None:
    """CTranslate2's conversion with what the worker reads beside it; None for an architecture that it does not read."""
    packages = subprocess.run([python, "-c", _WHERE], capture_output=True, text=True, check=True).stdout.strip()
    command = [sys.executable, "-c", _CONVERT, packages, model, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        print(f"ctranslate2 is left out: {done.stderr.strip().splitlines()[-1]}", flush=True)
        return None
    for name in ("tokenizer.json", "sentence_bert_config.json"):
        shutil.copy(Path(model) / name, folder)
    return str(folder)
